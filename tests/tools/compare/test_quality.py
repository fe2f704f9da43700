"""compare quality on a tiny random model: what is counted, and the command."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")
pytest.importorskip("llama_cpp")
pytest.importorskip("matplotlib")

from parity.tiny_bases import make_base

from engram_local.errors import EngramError
from engram_local.tools.compare.__main__ import main
from engram_local.tools.compare.quality import compare

TOKENS = 300  # two windows


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_base("llama", folder)
    return folder


def test_every_encoding_beside_float32(base, tmp_path):
    found, notes = compare(base, tmp_path, ["float32", "int8", "int4"], ["onnx", "gguf"], TOKENS)
    assert not notes
    by_name = {(x.weights, x.backend): x for x in found}
    first = by_name["float32", "onnx"]
    assert found[0] is first
    assert (first.kl, first.same_top) == (0, 1)
    assert by_name["float32", "gguf"].kl < 1e-6
    for backend in ("onnx", "gguf"):
        sizes, losses = zip(
            *((by_name[w, backend].megabytes, by_name[w, backend].kl) for w in ("float32", "int8", "int4")), strict=True
        )
        assert list(sizes) == sorted(sizes, reverse=True)
        assert list(losses) == sorted(losses)
    assert all(1 < x.perplexity < 1e6 for x in found)


def test_the_command(base, tmp_path, capsys):
    json_file, picture = tmp_path / "q.json", tmp_path / "q.png"
    arguments = ["--weights", "int8", "--backends", "onnx", "--tokens", str(TOKENS), "--rounds", "1", "--threads", "1"]
    assert main(["quality", str(base), *arguments, "--json", str(json_file), "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["float32", "onnx"], ["int8", "onnx"]]
    figures = json.loads(json_file.read_text())
    assert all(len(x["decode_tok_s"]) == 1 and x["decode_tok_s"][0] > 0 for x in figures)
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_text_of_ones_own(base, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The memory of a model lies in tables on disk. " * 20)
    (plain, _), (chosen, _) = (
        compare(base, tmp_path / name, [], [], TOKENS, text_file) for name, text_file in (("a", None), ("b", str(text)))
    )
    assert not np.isclose(plain[0].perplexity, chosen[0].perplexity)


def test_a_family_without_a_builder(base, tmp_path):
    config = json.loads((base / "config.json").read_text()) | {"architectures": ["BloomForCausalLM"]}
    (tmp_path / "base").mkdir()
    for file in base.iterdir():
        (tmp_path / "base" / file.name).symlink_to(file)
    (tmp_path / "base" / "config.json").unlink()
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    with pytest.raises(EngramError, match="BloomForCausalLM"):
        compare(tmp_path / "base", tmp_path, ["int8"], ["onnx"], TOKENS)
