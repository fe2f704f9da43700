"""engram-local quantize: the rows' bytes, what is reported of them, and what an interruption or a bad folder leaves."""

import json
import os
import shutil

import numpy as np
import pytest
from command import INTERRUPT, KILL, assert_one_line, bytes_of, files_of, run_and_signal, run_with_file_limit
from typer.testing import CliRunner

import engram_local
from engram_local.cli import make_app
from engram_local.commands.inspection import describe
from engram_local.config import ENCODINGS
from engram_local.errors import EngramError
from engram_local.model_folder import POCKET, ModelFolder, write_manifest
from engram_local.tables import encodings
from engram_local.tables import file as table_file
from engram_local.tables.links import write_link
from engram_local.tables.table import Table
from engram_local.tools.calibration import MAX_TEXT_BYTES, MAX_TOKENS, WINDOW, calibrate, read_tokens
from engram_local.tools.quantize import TableRows, quantize_model
from engram_local.verification import verify

TABLE = "tables/layer_0.safetensors"
RNG = np.random.default_rng(11)


def rows_of(folder) -> np.ndarray:
    """All rows of a one-table model as float32."""
    with Table(folder / ModelFolder.open(folder).engram.layers[0].table) as table:
        return table.gather(np.arange(table.n_rows))


def faults(folder) -> list[str]:
    return [x.text for x in verify(folder) if x.ok is False]


@pytest.mark.parametrize("encoding", [x for x in ENCODINGS if x != "float32"])
def test_encode_inspect_verify(tiny_path, tmp_path, encoding):
    out = tmp_path / "out"
    info = quantize_model(tiny_path, out, encoding)
    before = rows_of(tiny_path)
    codes = encodings.encode(encoding, before)
    assert (out / TABLE).read_bytes()[-codes.size :] == codes.tobytes()
    assert describe(ModelFolder.open(out))["engram"]["layers"][0]["encoding"] == encoding
    assert faults(out) == []
    error = rows_of(out) - before
    worst = np.linalg.norm(error, axis=1) / np.linalg.norm(before, axis=1)
    report = info["tables"][TABLE]
    assert report["relative_rms_error"] == pytest.approx(np.sqrt((error**2).mean() / (before**2).mean()), rel=1e-5)
    assert report["worst_row"] == worst.argmax()
    assert report["worst_row_relative_error"] == pytest.approx(worst.max(), rel=1e-5)
    assert ModelFolder.open(out).manifest["export"] == info
    kept = files_of(tiny_path).keys() - {TABLE, "config.json"}
    assert {x: files_of(out)[x] for x in kept} == {x: files_of(tiny_path)[x] for x in kept}


def test_the_command_on_the_pocket_model(tmp_path):
    result = CliRunner().invoke(make_app(), ["quantize", str(POCKET), str(tmp_path / "out"), "--tables", "int8"])
    assert result.exit_code == 0, result.output
    layer = ModelFolder.open(POCKET).engram.layers[0]
    assert f"{layer.table}: {layer.n_rows:,} rows as int8, relative RMS error" in result.stdout
    assert faults(tmp_path / "out") == []
    with engram_local.load(tmp_path / "out", threads=2) as model:
        assert "Paris" in "".join(model.generate("What is the capital of France?"))


def test_linked_tables_become_files(tiny_copy, tmp_path):
    """The rows of a linked table are read where they lie; the new folder stands alone."""
    rows = rows_of(tiny_copy).astype(np.float16)
    header = json.dumps({"a": {"dtype": "F16", "shape": list(rows.shape), "data_offsets": [0, rows.nbytes]}}).encode()
    other = tmp_path / "other.safetensors"
    other.write_bytes(len(header).to_bytes(8, "little") + header + rows.tobytes())
    link = tiny_copy / "tables" / "layer_0.link.json"
    write_link(link, [(str(other), "a")])
    (tiny_copy / TABLE).unlink()
    config = json.loads((tiny_copy / "config.json").read_text())
    config["engram"]["layers"][0] |= {"table": "tables/layer_0.link.json", "encoding": "float16"}
    (tiny_copy / "config.json").write_text(json.dumps(config))
    write_manifest(tiny_copy)
    for encoding in ("float16", "int8"):  # the same encoding is no reason to refuse: the link goes
        quantize_model(tiny_copy, tmp_path / encoding, encoding)
        assert not list((tmp_path / encoding).rglob("*.link.json"))
    other.unlink()
    assert np.array_equal(rows_of(tmp_path / "float16"), rows.astype(np.float32))
    assert faults(tmp_path / "int8") == []


def test_what_has_the_encoding_is_not_encoded_again(tmp_path):
    """One of two tables is int8: another run makes the other int8, leaves the first as it is and reports the other."""
    quantize_model(POCKET, tmp_path / "int8", "int8")
    mixed = tmp_path / "mixed"
    shutil.copytree(POCKET, mixed)
    shutil.copyfile(tmp_path / "int8/tables/layer_1.safetensors", mixed / "tables/layer_1.safetensors")
    config = json.loads((mixed / "config.json").read_text())
    config["engram"]["layers"][0]["encoding"] = "int8"
    (mixed / "config.json").write_text(json.dumps(config))
    write_manifest(mixed, {"weights": "int8", "calibration": {}})
    info = quantize_model(mixed, tmp_path / "out", "int8")
    assert (list(info["tables"]), info["weights"]) == (["tables/layer_2.safetensors"], "int8")
    assert "calibration" not in info
    assert info["quantized_from"]["encodings"] == ["int8", "int4"]
    wanted = files_of(tmp_path / "int8")
    assert {x: y for x, y in files_of(tmp_path / "out").items() if x != "config.json"} == {
        x: y for x, y in wanted.items() if x != "config.json"
    }


def test_refusals_leave_nothing(tiny_path, tmp_path, monkeypatch):
    def refused(match, model=tiny_path, tables="int8", **options):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(EngramError, match=match):
            quantize_model(model, tmp_path / "out", tables, **options)
        assert sorted(tmp_path.rglob("*")) == before

    refused("nowhere: no such folder", model="nowhere")
    refused("tables 'int5' is unknown; choose one of int8", tables="int5")
    refused("its tables are float32 already", tables="float32")
    short, latin = tmp_path / "short.txt", tmp_path / "latin.txt"
    short.write_text("w1 w2")
    latin.write_bytes(b"w1 \xff" * 500)
    refused("short.txt: has 2 tokens, calibration needs 256", calibrate=short)
    refused("latin.txt: is not UTF-8", calibrate=latin)
    refused("nowhere.txt: cannot be read", calibrate=tmp_path / "nowhere.txt")
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_path, damaged)
    with open(damaged / TABLE, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")  # the last row's last value: not finite
        file.seek(-2, 2)
        file.write(b"\x80")
    refused("layer_0.safetensors: does not match the sha256 of the manifest", model=damaged)
    write_manifest(damaged)  # as whoever wrote these rows would have
    refused("NaN or infinity", model=damaged)
    shutil.copyfile(tiny_path / TABLE, damaged / TABLE)
    write_manifest(damaged)
    (damaged / "tokenizer.json").write_bytes((damaged / "tokenizer.json").read_bytes().replace(b"w1", b"w2", 1))
    refused("tokenizer.json: does not match the sha256 of the manifest", model=damaged)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine.txt").write_text("not to be deleted")
    refused("out.partial: is not what an interrupted run left")
    shutil.rmtree(tmp_path / "out.partial")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    refused(r"out: needs about .* has 1000 B free; make room")
    (tmp_path / "out").mkdir()
    refused("out: exists already")


def test_a_full_disk_is_one_line(tmp_path):
    done = run_with_file_limit(1 << 20, "quantize", POCKET, tmp_path / "out", "--tables", "int8")
    assert_one_line(done, 1, "File too large", "out was not made")
    assert list(tmp_path.iterdir()) == []


def test_killed_and_resumed(tmp_path):
    """kill -9 within the second table: no model at OUT, and the next run keeps the first table."""
    arguments = ("quantize", POCKET, tmp_path / "out", "--tables", "int8")
    assert run_and_signal("tables/layer_2.safetensors", KILL, *arguments).returncode == -KILL
    partial = tmp_path / "out.partial"
    assert [x.name for x in tmp_path.iterdir()] == ["out.partial"]
    with pytest.raises(EngramError, match=r"has no manifest.json"):
        ModelFolder.open(partial)
    first = (partial / "tables/layer_1.safetensors").stat()
    assert not (partial / "tables/layer_2.safetensors").exists()
    quantize_model(POCKET, tmp_path / "out", "int8")
    kept = (tmp_path / "out/tables/layer_1.safetensors").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    quantize_model(POCKET, tmp_path / "whole", "int8")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    assert ModelFolder.open(tmp_path / "out").manifest == ModelFolder.open(tmp_path / "whole").manifest


def test_what_another_run_left_is_not_used(tmp_path):
    arguments = ("quantize", POCKET, tmp_path / "out", "--tables", "fp8")
    run_and_signal("tables/layer_2.safetensors", KILL, *arguments)
    assert (tmp_path / "out.partial/tables/layer_1.safetensors").exists()
    quantize_model(POCKET, tmp_path / "out", "int8")
    assert faults(tmp_path / "out") == []  # the table that was left is fp8


@pytest.mark.parametrize("table", [1, 2])
def test_interrupted_by_the_user(tmp_path, table):
    """Ctrl-C: one line, exit code 130. What is finished stays for the next run; nothing else does."""
    arguments = ("quantize", POCKET, tmp_path / "out", "--tables", "int8")
    done = run_and_signal(f"tables/layer_{table}.safetensors", INTERRUPT, *arguments)
    kept = ["the same command goes on where it stopped", ["out.partial"]]
    text, names = kept if table == 2 else ["nothing was written", []]
    assert_one_line(done, 130, "interrupted; ", text)
    assert [x.name for x in tmp_path.iterdir()] == names


def write_text(path, n_words: int):
    path.write_text(" ".join(f"w{i}" for i in RNG.integers(0, 24, n_words)))
    return path


def test_calibration(tiny_path, tmp_path):
    """The figures, computed here from full logits of both folders."""
    text = write_text(tmp_path / "text.txt", 401)
    info = quantize_model(tiny_path, tmp_path / "out", "int4", calibrate=text)
    figures = ModelFolder.open(tmp_path / "out").manifest["export"]["calibration"]
    assert figures == info["calibration"]
    kl, nll = [], {"old": [], "new": []}
    with engram_local.load(tiny_path, threads=1) as old, engram_local.load(tmp_path / "out", threads=1) as new:
        window = old.context_length  # shorter than WINDOW
        tokens = old.tokenizer.encode(text.read_text())
        for start in range(0, len(tokens), window):
            part = tokens[start : start + window]
            p, q = (np.float64(x.session().forward(part, "all"))[:-1] for x in (old, new))
            p, q = (x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in (p, q))
            kl += list((np.exp(p) * (p - q)).sum(axis=1))
            for name, x in (("old", p), ("new", q)):
                nll[name] += list(-x[np.arange(len(part) - 1), part[1:]])
    assert (figures["window"], figures["tokens"], figures["text"]) == (window, len(kl), "text.txt")
    assert figures["mean_kl"] == pytest.approx(np.mean(kl), rel=1e-3)
    assert figures["perplexity"] == pytest.approx(np.exp(np.mean(nll["new"])), rel=1e-5)
    assert figures["reference_perplexity"] == pytest.approx(np.exp(np.mean(nll["old"])), rel=1e-5)
    change = figures["perplexity"] / figures["reference_perplexity"] - 1
    assert figures["perplexity_change"] == pytest.approx(change, abs=1e-6)
    assert figures["mean_kl"] > 1e-5


def test_calibration_knows_equal_rows(tiny_path, tmp_path):
    tokens = read_tokens(tiny_path, write_text(tmp_path / "text.txt", 2 * WINDOW + 1))
    rows = {0: TableRows(tiny_path / TABLE)}
    figures = calibrate(tiny_path, rows, tokens, "text.txt")
    assert (figures["mean_kl"], figures["perplexity_change"]) == (0.0, 0.0)
    int8 = quantize_model(tiny_path, tmp_path / "int8", "int8", calibrate=tmp_path / "text.txt")["calibration"]
    int4 = quantize_model(tiny_path, tmp_path / "int4", "int4", calibrate=tmp_path / "text.txt")["calibration"]
    assert 0 < int8["mean_kl"] < int4["mean_kl"]


def test_of_a_text_of_any_size_the_beginning_is_read(tiny_path, tmp_path):
    """A terabyte with a hole; a character that the bound cuts; one that is no UTF-8 beyond it and before it."""
    text = write_text(tmp_path / "text.txt", MAX_TEXT_BYTES)
    tokens = read_tokens(tiny_path, text)
    assert len(tokens) == MAX_TOKENS
    os.truncate(text, 1 << 40)
    assert np.array_equal(read_tokens(tiny_path, text), tokens)
    word = "w1 " * (MAX_TEXT_BYTES // 3) + "ẃ1 w2"
    assert len(word.encode()) > MAX_TEXT_BYTES > len(word.encode()) - 7
    text.write_bytes(word.encode() + b"\xff")
    assert len(read_tokens(tiny_path, text)) == MAX_TOKENS
    text.write_bytes(b"w1 \xff" + word.encode())
    with pytest.raises(EngramError, match=r"is not UTF-8 text \(byte 3\)"):
        read_tokens(tiny_path, text)


def test_the_header_is_a_table_files(tiny_path, tmp_path):
    """The streamed file is the one that TableWriter makes of all rows at once."""
    quantize_model(tiny_path, tmp_path / "out", "int8")
    with table_file.TableWriter(tmp_path / "one.safetensors", "int8", 60, 4) as writer:
        writer.append(rows_of(tiny_path))
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "out" / TABLE).read_bytes()
