"""Two processes train one model together as one process does alone."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from parity.tiny_bases import make_base

from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.teach import example, facts, ranks
from engram_local.tools.teach.__main__ import teach
from engram_local.tools.teach.facts import Lessons
from engram_local.tools.teach.model import LayerSettings
from engram_local.tools.teach.train import Settings

LAYERS = LayerSettings((1,), rows=500, n_heads=1, head_dim=16)
SETTINGS = Settings(epochs=1, batch=4, own_texts=12, own_batch=2, own_length=8, silence=0.0)


def lessons() -> Lessons:
    known = [facts.Fact((x["question"],), x["answer"]) for x in example.facts(9)]
    return Lessons(list(facts.items(known, 2)), {}, len(known))


def learn(base: Path, out: Path, settings: Settings, **how) -> dict | None:
    return teach(base, lessons(), out, settings, LAYERS, say=lambda _: None, **how)


def together(base: Path, out: Path, settings: Settings, **how) -> None:
    """`learn` in two processes."""
    given = json.dumps([str(base), str(out), asdict(settings), how])
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, given]
    places = os.pathsep.join(x for x in sys.path if x)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


def tables(out: Path) -> torch.Tensor:
    table = open_checkpoint(out).tables[1]
    return torch.from_numpy(table.read(0, table.n_rows).astype("float32"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base") / "base"
    make_base("llama", folder)
    return folder


def test_two_ranks_learn_what_one_learns_of_twice_the_batch(base, tmp_path):
    together(base, tmp_path / "two", SETTINGS)
    learn(base, tmp_path / "one", replace(SETTINGS, batch=8))
    one, two = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert one.abs().max() > 0.01
    # Where a gradient is all but nothing, Adam makes a whole step of its noise: few numbers may differ.
    assert ((one - two).abs() > 1e-3).float().mean() < 1e-3


def test_two_ranks_go_on_where_they_stopped(base, tmp_path):
    silent = replace(SETTINGS, silence=4.0)
    together(base, tmp_path / "whole", silent)
    together(base, tmp_path / "parts", silent, stop_after=0, report_every=2)
    assert torch.load(tmp_path / "parts/training/state.pt", weights_only=True)["step"] == 2
    assert not (tmp_path / "parts/figures.json").exists()
    together(base, tmp_path / "parts", silent)
    assert torch.equal(tables(tmp_path / "whole"), tables(tmp_path / "parts"))
    assert json.loads((tmp_path / "parts/figures.json").read_text())["own_text"]["text"] > 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    ranks.join("cpu")
    base_, out_, settings_, how_ = json.loads(sys.argv[1])
    learn(Path(base_), Path(out_), Settings(**settings_), **how_)
