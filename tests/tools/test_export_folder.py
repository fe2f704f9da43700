"""engram-local export: what the folder holds, and what an interruption, a full disk or a bad checkpoint leaves."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")

from command import INTERRUPT, KILL, assert_one_line, bytes_of, files_of, run_and_signal, run_with_file_limit
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import engram_local
from engram_local.cli import make_app
from engram_local.errors import EngramError
from engram_local.model_folder import ModelFolder
from engram_local.tables.file import read_header
from engram_local.tools.export.example import make_checkpoint
from engram_local.tools.export.folder import export_model
from engram_local.tools.export.tables import MEMORY_BYTES
from engram_local.tools.quantize import quantize_model
from engram_local.verification import verify

TABLES = ["tables/layer_0.safetensors", "tables/layer_1.safetensors"]
IDS = np.random.default_rng(1).integers(0, 64, 40)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "trained")


@pytest.fixture(scope="module")
def exact(checkpoint, tmp_path_factory):
    """Exported without loss."""
    out = tmp_path_factory.mktemp("exact") / "out"
    export_model(checkpoint, out, tables="float32", weights="float32")
    return out


def test_files_have_ordinary_permissions(exact):
    umask = os.umask(0)
    os.umask(umask)
    modes = {x.name: oct(x.stat().st_mode & 0o777) for x in exact.rglob("*") if x.is_file()}
    assert set(modes.values()) == {oct(0o666 & ~umask)}, modes


@pytest.fixture
def bad(checkpoint, tmp_path):
    """A checkpoint that a test may damage: call it with a function that alters the tensors."""

    def make(alter):
        path = tmp_path / "bad"
        shutil.copytree(checkpoint, path)
        tensors = load_file(path / "model.safetensors")
        alter(tensors)
        save_file(tensors, path / "model.safetensors")
        return path

    return make


def logits(folder, **options) -> np.ndarray:
    with engram_local.load(folder, threads=1, **options) as model:
        return model.session().forward(IDS, "all")


def test_the_command_reports_and_calibrates(checkpoint, tmp_path):
    text, out = tmp_path / "text.txt", tmp_path / "out"
    text.write_text(" ".join(f"w{i % 24}" for i in np.random.default_rng(2).integers(0, 24, 400)))
    arguments = ["export", checkpoint, out, "--tables", "int4", "--weights", "float32", "--calibrate", text]
    result = CliRunner().invoke(make_app(), list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [x.split(",")[0] for x in lines[:2]] == [
        f"{x}: {n} rows as int4" for x, n in zip(TABLES, (408, 480), strict=True)
    ]
    assert lines[2].startswith("on 396 tokens of text.txt: mean KL ")
    info = ModelFolder.open(out).manifest["export"]
    assert (info["layout"], info["backend"], info["weights"]) == ("trained", "onnx", "float32")
    assert info["calibration"]["mean_kl"] > 1e-6
    assert 0 < info["tables"][TABLES[0]]["relative_rms_error"] < 0.2
    assert [x.text for x in verify(out) if x.ok is False] == []
    assert (out / "NOTICE").read_text() == "by somebody\n"
    assert str(checkpoint.parent) not in (out / "manifest.json").read_text()


def test_quantize_gives_what_export_gives(checkpoint, exact, tmp_path):
    """The tables that quantize makes of exact ones are those that export makes of the checkpoint."""
    export_model(checkpoint, tmp_path / "exported", tables="int4", weights="float32")
    quantize_model(exact, tmp_path / "quantized", "int4")
    assert files_of(tmp_path / "exported") == files_of(tmp_path / "quantized")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_linked_tables(tmp_path, dtype):
    """No row is copied, and the model computes as with copied ones; quantize makes files of them."""
    checkpoint = make_checkpoint(tmp_path / "trained", dtype)
    export_model(checkpoint, tmp_path / "copied", tables="float32", weights="float32")
    info = export_model(checkpoint, tmp_path / "linked", weights="float32", link=True)
    linked = tmp_path / "linked"
    assert info["tables"]["tables/layer_1.link.json"] == {
        "encoding": dtype, "rows": 480, "linked": ["model.safetensors"],
    }  # fmt: skip
    assert sum(x.stat().st_size for x in (linked / "tables").iterdir()) < 1000
    assert np.array_equal(logits(linked), logits(tmp_path / "copied"))
    assert [x.text for x in verify(linked) if x.ok is False] == []
    quantize_model(linked, tmp_path / "files", "float32")
    assert files_of(tmp_path / "files") == files_of(tmp_path / "copied")
    os.truncate(checkpoint / "model.safetensors", 1000)
    with pytest.raises(EngramError, match=r"model.safetensors has 1000 bytes, not those it had when it was linked"):
        engram_local.load(linked)


def test_gguf_needs_no_onnx_builder(checkpoint, exact, tmp_path):
    """--backend gguf neither builds an ONNX backbone nor loads the model; the folder runs as the ONNX one does."""
    pytest.importorskip("llama_cpp")
    code = (
        "import sys; from engram_local.tools.export.folder import export_model; "
        "export_model(sys.argv[1], sys.argv[2], backend='gguf', tables='float32', weights='float32'); "
        "print([x for x in ('transformers', 'onnxruntime_genai') if x in sys.modules])"
    )
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", code, checkpoint, out], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr
    assert {x.name for x in out.iterdir()} >= {"backbone.gguf", "engram_layer_0.onnx", "engram_layer_1.onnx"}
    assert not (out / "backbone.onnx").exists()
    assert np.abs(logits(out) - logits(exact)).max() < 2e-3


def test_killed_and_resumed(checkpoint, exact, tmp_path):
    """kill -9 within the second table: no model there, and the next run keeps the first table."""
    arguments = ("export", checkpoint, tmp_path / "out", "--tables", "float32", "--weights", "float32")
    assert run_and_signal(TABLES[1], KILL, *arguments).returncode == -KILL
    assert [x.name for x in tmp_path.iterdir()] == ["out.partial"]
    with pytest.raises(EngramError, match=r"has no manifest.json"):
        engram_local.load(tmp_path / "out.partial")
    first = (tmp_path / "out.partial" / TABLES[0]).stat()
    export_model(checkpoint, tmp_path / "out", tables="float32", weights="float32")
    kept = (tmp_path / "out" / TABLES[0]).stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert bytes_of(tmp_path / "out") == bytes_of(exact)
    assert ModelFolder.open(tmp_path / "out").manifest["export"]["tables"].keys() == set(TABLES)


def test_a_changed_checkpoint_starts_over(tmp_path):
    checkpoint = make_checkpoint(tmp_path / "trained", seed=1)
    arguments = ("export", checkpoint, tmp_path / "out", "--tables", "float32", "--weights", "float32")
    run_and_signal(TABLES[1], KILL, *arguments)
    assert (tmp_path / "out.partial" / TABLES[0]).exists()
    shutil.rmtree(checkpoint)
    make_checkpoint(checkpoint, seed=2)
    export_model(checkpoint, tmp_path / "out", tables="float32", weights="float32")
    export_model(checkpoint, tmp_path / "clean", tables="float32", weights="float32")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")


@pytest.mark.parametrize(("at", "left"), [("backbone.onnx", []), (TABLES[1], ["out.partial"])])
def test_interrupted_by_the_user(checkpoint, tmp_path, at, left):
    done = run_and_signal(at, INTERRUPT, "export", checkpoint, tmp_path / "out")
    assert_one_line(done, 130, "interrupted; " + ("the same command goes on" if left else "nothing was written"))
    assert [x.name for x in tmp_path.iterdir()] == left


@pytest.mark.parametrize(
    ("n_bytes", "why"), [(10_000, "the disk is full or the file may not grow"), (200, "too large")]
)
def test_a_full_disk_is_one_line(checkpoint, tmp_path, n_bytes, why):
    """Within the backbone and within a small file."""
    done = run_with_file_limit(n_bytes, "export", checkpoint, tmp_path / "out")
    assert_one_line(done, 1, why, "out was not made")
    assert list(tmp_path.iterdir()) == []


def test_refusals_leave_nothing(checkpoint, bad, tmp_path, monkeypatch):
    def refused(match, path=checkpoint, **options):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(EngramError, match=match) as error:
            export_model(path, tmp_path / "out", **options)
        assert "\n" not in str(error.value)
        assert sorted(tmp_path.rglob("*")) == before

    refused("tables 'int5' is unknown; choose one of int8", tables="int5")
    refused("weights 'q8' is unknown; choose one of float32", weights="q8")
    refused("backend 'torch' is unknown", backend="torch")
    refused("layout 'mine' is unknown; the layouts are ", layout="mine")
    refused("there is nothing to calibrate", link=True, calibrate="text.txt")
    refused("text.txt: cannot be read", calibrate=tmp_path / "text.txt")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    refused(r"out: needs about .* has 1000 B free; make room, or choose smaller encodings")
    monkeypatch.undo()

    def cut(tensors):
        tensors["engram.1.table.weight"] = tensors["engram.1.table.weight"][:-1]

    refused(r"layer 1's table is \[479, 8\], its config asks for \[480, 8\]", path=bad(cut))
    shutil.rmtree(tmp_path / "bad")

    def diverge(tensors):
        tensors["engram.1.table.weight"][470, 3] = np.inf

    refused(r"tables/layer_1.safetensors: row 470 holds NaN or infinity", path=bad(diverge))
    for config_change, match in (
        ({"architectures": ["OtherForCausalLM"]}, "OtherForCausalLM cannot be exported as ONNX; known: .*Llama"),
        ({"engram": {}}, "engram block lacks or garbles"),
    ):
        config = json.loads((checkpoint / "config.json").read_text())
        (tmp_path / "bad" / "config.json").write_text(json.dumps(config | config_change))
        refused(match, path=tmp_path / "bad")
    shutil.rmtree(tmp_path / "bad")
    (tmp_path / "out").mkdir()
    refused("out: exists already")
    (tmp_path / "out").rmdir()
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "mine.txt").touch()
    refused("out.partial: is not what an interrupted run left")


_LIMITED = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
from engram_local.tools.checkpoints.tensors import Tensors
from engram_local.tools.export.tables import MEMORY_BYTES, convert_table

rows = Tensors(Path(sys.argv[1])).rows("table")
small = SimpleNamespace(n_rows=100, dim=rows.dim, read=rows.read)
convert_table(small, Path(sys.argv[2]), "int8", "small")  # what is loaded once
status = dict(x.split(":") for x in open("/proc/self/status").read().splitlines() if ":" in x)
limit = int(status["VmData"].split()[0]) * 1024 + MEMORY_BYTES
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
convert_table(rows, Path(sys.argv[2]), "int4", "a table")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts mapped memory on Linux alone")
def test_memory_is_bounded(tmp_path):
    """A table of safetensors, three times as large as the bound, is converted within it."""
    rows = np.sin(np.arange(3 * MEMORY_BYTES // 4, dtype=np.float32)).reshape(-1, 64)
    save_file({"table": rows}, tmp_path / "table.safetensors")
    command = [sys.executable, "-c", _LIMITED, tmp_path / "table.safetensors", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert read_header(tmp_path / "out").n_rows == len(rows)
