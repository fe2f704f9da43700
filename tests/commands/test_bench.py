"""The shape of what bench reports; speeds are never asserted."""

import json
import tempfile
from pathlib import Path

import pytest
from tiny_model import make_tiny_model

import engram_local
from engram_local.commands.bench_model import KINDS, measure, run_bench, summary
from engram_local.commands.terminal import Result
from engram_local.errors import EngramError
from engram_local.tables.page_cache import drop_pages, resident_share

KEYS = {
    *("model", "backend", "threads", "page_cache"),
    *("prefill_tok_s", "decode_tok_s", "lookup_us_per_token", "peak_rss_bytes"),
}


def test_json_and_plot(tiny, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    json_file, plot_file = tmp_path / "bench.json", tmp_path / "bench.png"
    options = {"n_prompt": 8, "n_decode": 4, "rounds": 2}
    run_bench(tiny, **options, result=Result(False, str(json_file)), plot_file=str(plot_file))
    result = json.loads(json_file.read_text())
    assert set(result) == KEYS
    assert set(result["prefill_tok_s"]) == set(result["decode_tok_s"]) == {"no_memory", "resident", "cold"}
    assert set(result["lookup_us_per_token"]) == {"resident", "cold"}
    assert (result["backend"], result["threads"]) == ("onnx", 1)
    assert result["peak_rss_bytes"] > 0
    assert plot_file.read_bytes()[:4] == b"\x89PNG"
    assert {x.name for x in tmp_path.iterdir()} == {"bench.json", "bench.png"}
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("memory off", "resident", "cold", "peak RSS", "lookup"))


def test_every_round_counts_and_the_tables_come_back(tiny):
    access = {i: table.access for i, table in tiny.tables.items()}
    figures = measure(tiny, 4, 3, 2, "mmap")
    assert all(len(figures[kind].decode_tok_s) == len(figures[kind].prefill_tok_s) == 2 for kind in KINDS)
    assert {i: table.access for i, table in tiny.tables.items()} == access
    assert summary(tiny, figures)["prefill_tok_s"]["cold"] > 0
    tiny.session().forward([1, 2, 3])


def test_json_stands_in_for_the_table(tiny, capsys):
    told = []
    run_bench(tiny, n_prompt=2, n_decode=2, rounds=1, result=Result(True), progress=lambda *x: told.append(x[:3]))
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and set(json.loads(out)) == KEYS
    assert told == [("measuring", i, 6) for i in range(6)]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a tmpfs")
def test_nothing_is_called_cold_that_cannot_be(capsys):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = make_tiny_model(Path(folder) / "model")
        with engram_local.load(path, threads=1) as model:
            run_bench(model, n_prompt=2, n_decode=2, rounds=1)
            text = capsys.readouterr().out
            run_bench(model, n_prompt=2, n_decode=2, rounds=1, result=Result(True))
    assert "cold left out: the file system keeps the pages in memory" in text and text.count("cold") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["decode_tok_s"]["cold"] is None and result["decode_tok_s"]["resident"] > 0


def test_what_does_not_fit_is_refused_before_measuring(tiny):
    with pytest.raises(EngramError, match="exceed the context of 96"):
        run_bench(tiny, n_prompt=90, n_decode=7, rounds=1)


def test_an_unknown_plot_format_leaves_nothing(tiny, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(EngramError, match=r"bench\.xyz: cannot be written"):
        run_bench(tiny, n_prompt=2, n_decode=2, rounds=1, plot_file=str(tmp_path / "bench.xyz"))
    assert not list(tmp_path.iterdir())


def test_pages_are_dropped_and_counted(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))
    path.read_bytes()
    if resident_share(path) is None or not drop_pages(path):
        pytest.skip("this system does not tell")
    before = resident_share(path)
    path.read_bytes()
    assert before <= resident_share(path) == 1.0
