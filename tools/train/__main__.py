"""The whole recipe of the pocket model: sources, corpus, training, checkpoint folder, evaluation.

    python -m engram_local.tools.train OUT [--small] [--twin] [--device cpu|cuda] [--work FOLDER]

OUT becomes a checkpoint folder that `engram_local.tools.export` reads, with figures.json (the evaluation on test
wordings). Without a GPU, or with --small, a small setting is trained: fewer facts, a smaller model, for less than
half an hour on two cores. What is there already is kept: packages and corpus in --work (build/train), the state of an
interrupted training in OUT/training; the same command goes on from there. --twin trains on the training wordings
alone, so that the figures on held-out ones mean something; without it every wording is trained.
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer

from engram_local.errors import EngramError

from . import corpus, evaluate, sources
from .model import EngramSettings
from .train import Settings, finish, train

FULL = Settings(seed=1)  # of two seeds the one that told unknown names better
SMALL = Settings(
    hidden_size=96,
    n_layers=4,
    intermediate_size=256,
    n_heads=3,
    n_kv_heads=1,
    head_dim=32,
    engram=EngramSettings(rows=4_000, head_dim=32),
    steps=2_000,
    rows=16,
    warmup=100,
)


def make_corpus(work: Path, small: bool, twin: bool = False) -> Path:
    """The corpus folder, built unless one of the same size is there."""
    size = corpus.SMALL if small else corpus.Size()
    size = replace(size, split="train") if twin else size
    folder = work / ("corpus" + "-small" * small + "-twin" * twin)
    made_with = folder / "size.json"  # written last
    if not made_with.exists() or json.loads(made_with.read_text()) != asdict(size):
        print(f"sources: {work / 'sources'}", flush=True)
        fetched = sources.fetch(work / "sources")
        print(f"corpus: {folder} (about two minutes)", flush=True)
        print(json.dumps(corpus.build(fetched, folder, size)), flush=True)
        made_with.write_text(json.dumps(asdict(size)))
    return folder


def main(out: Path, work: Path, device: str, small: bool, twin: bool = False) -> None:
    folder = make_corpus(work, small, twin)
    settings = SMALL if small else FULL
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    print(f"training: {settings.steps} steps on {device}; state in {out / 'training'}", flush=True)

    def report(step: int, loss: float, tokens_a_second: float) -> None:
        if step % 100 == 0 or (step == 20 and device == "cpu"):  # on a GPU the first steps compile
            left = (settings.steps - step) * settings.rows * 256 / tokens_a_second
            print(f"step {step} of {settings.steps}, loss {loss:.3f}, {left / 60:.1f} minutes left", flush=True)

    model = train(
        settings,
        folder,
        out / "training",
        device=device,
        compiled=device != "cpu",
        checkpoint_every=200 if small else 1_000,
        on_step=report,
    ).eval()
    finish(model, folder, out)
    print(f"checkpoint: {out}; evaluating", flush=True)
    figures = evaluate.report(model, tokenizer, folder, "test", every=10 if small else 1)
    (out / "figures.json").write_text(json.dumps({"settings": asdict(settings), **figures}, indent=1))
    shutil.rmtree(out / "training")
    print(evaluate.summary(figures))
    for question, answer in figures["readme"].items():
        print(f"{question}\n  {answer}\n  without memory: {figures['readme_off'][question]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true", help="the small setting, also on a GPU")
    parser.add_argument("--twin", action="store_true", help="train on the training wordings alone")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--work", type=Path, default=Path("build/train"), help="packages and corpus")
    given = parser.parse_args()
    try:
        main(given.out, given.work, given.device, given.small or given.device == "cpu", given.twin)
    except EngramError as error:
        sys.exit(f"{error}")
