"""The commands on a folder that holds a GGUF alone; its tokenizer and chat template are the GGUF's own."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("llama_cpp")
from tiny_gguf import PIECES, make_tiny_gguf

from engram_local.model_folder import write_manifest


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = make_tiny_gguf(tmp_path_factory.mktemp("gguf") / "model")
    (folder / "tokenizer.json").unlink()
    write_manifest(folder)
    return folder


def run(*arguments, text="", code=0):
    command = [sys.executable, "-m", "engram_local.cli", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_generate(path):
    options = ["--prompt", "the the", "--max-tokens", 8, "--json", "--threads", 1]
    answer = json.loads(run("generate", path, *options).stdout)
    assert answer["backend"] == "gguf"
    assert answer["memory"] is True
    assert 1 <= answer["n_generated"] <= 8
    assert json.loads(run("generate", path, *options, "--no-memory").stdout)["token_ids"] != answer["token_ids"]


def test_chat(path):
    done = run("chat", path, "--max-tokens", 4, "--threads", 1, text="hello\nthe\n")
    assert done.stdout.count("\n") >= 2
    assert done.stderr == ""
    assert "backend gguf" in run("chat", path, "--max-tokens", 1, "--verbose", "--threads", 1, text="hello\n").stderr


def test_a_build_without_a_gpu_says_so(path):
    import llama_cpp

    done = run("generate", path, "--prompt", "the", "--max-tokens", 1, "--threads", 1, "--gpu-layers", 2)
    said = "2 blocks were asked for on a GPU and are on the CPU: this llama-cpp-python " in done.stderr
    assert said != llama_cpp.llama_supports_gpu_offload()


def test_inspect(path):
    about = json.loads(run("inspect", path, "--json").stdout)
    assert list(about["backbones"]) == ["gguf"]
    assert about["bytes_in_ram"]["context_per_token"] == 2 * 2 * 3 * 32 + 4 * 2 * 32  # float16 keys and values
    rows = json.loads(run("inspect", path, "--rows", "the", "--json").stdout)
    assert rows["tokens"] == [PIECES.index("the")]
    assert rows["pieces"] == ["the"]


def test_verify(path):
    done = run("verify", path)
    assert "ok   backbone.gguf: loads" in done.stdout
    assert "token_map.safetensors: the folder has no tokenizer.json" in done.stdout


def test_bench(path, tmp_path):
    options = ["--rounds", 1, "--prompt-tokens", 8, "--tokens", 4, "--threads", 1]
    run("bench", path, *options, "--output", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["backend"] == "gguf"
    done = run("bench", path, "--compare", *options, "--output", tmp_path / "compared.json")
    names = [x["name"] for x in json.loads((tmp_path / "compared.json").read_text())["contenders"]]
    assert names == ["engram_local gguf", "llama-cpp-python"]
    assert "left out: engram_local onnx: the folder has no backbone.onnx" in done.stdout


def test_blocks_on_the_gpu_are_for_gguf_alone(path, tiny_path):
    run("generate", path, "--prompt", "the", "--max-tokens", 1, "--gpu-layers", 2, "--threads", 1)
    done = run("generate", tiny_path, "--prompt", "the", "--gpu-layers", 2, code=1)
    assert done.stderr.strip().endswith("need the gguf backend; use --backend gguf")
    done = run("generate", path, "--prompt", "the", "--backend", "onnx", code=1)
    assert "has no backbone.onnx; use --backend gguf" in done.stderr
