"""More steps for a trained checkpoint: all learns on but the tables and the embedding.

    python -m engram_local.tools.train.settle CHECKPOINT OUT [--work FOLDER] [--steps 800] [--device cpu|cuda]

What is said of a name that the tables hold nothing about is better learnt late: rows that stay as they are store no
invented name, so the blocks have to tell from what was looked up whether it fits. The corpus of these steps, made in
--work unless it is there, has fresh invented names, every fact in few documents, and some of all else.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from engram_local.errors import EngramError

from . import corpus, sources
from .data import Batches
from .model import EngramModel
from .train import finish, loss_of

SEED = 1  # of the corpus: other names, wordings and conversations than in training


def make_corpus(work: Path, checkpoint: Path) -> Path:
    """The folder of the corpus for more steps of `checkpoint`, built unless it is there for the same tokenizer."""
    folder, tokenizer = work / "corpus-settle", checkpoint / "tokenizer.json"
    made_with = folder / "size.json"  # written last
    size = asdict(corpus.SETTLE)
    done = made_with.exists() and json.loads(made_with.read_text()) == size
    if not done or (folder / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
        made_with.unlink(missing_ok=True)
        fetched = sources.fetch(work / "sources")
        print(f"corpus: {folder} (about two minutes)", flush=True)
        corpus.build(fetched, folder, corpus.SETTLE, SEED, Tokenizer.from_file(str(tokenizer)))
        (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        made_with.write_text(json.dumps(size))
    return folder


def settle(
    checkpoint: Path,
    folder: Path,
    out: Path,
    *,
    steps: int,
    rows: int,
    lr: float,
    decisive: float,
    blend: float = 1.0,
    device: str = "cpu",
) -> None:
    """Train `checkpoint` on the corpus in `folder` at a rate that falls to nothing; writes the checkpoint `out`.

    blend: how far from the weights before to those after the last step the written ones lie, 0 to 1. In between they
    keep more of what was known and lose little of what was learnt (arXiv 2109.01903). An interrupted run goes on from
    OUT/settling.pt.
    """
    model = EngramModel.load(checkpoint).to(device)
    model.requires_grad_(False)
    decoder = model.backbone.get_decoder()
    learning = [
        parameter.requires_grad_(True)
        for part in (decoder.layers, decoder.norm, model.engram)
        for name, parameter in part.named_parameters()
        if not name.endswith("table.weight")
    ]
    before = [parameter.detach().clone() for parameter in learning]
    optimizer = torch.optim.AdamW(learning, lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    batches = Batches(folder / "corpus.npz", rows, 0, 0.5, device, decisive=decisive)
    out.mkdir(parents=True, exist_ok=True)
    state, first, total = out / "settling.pt", 0, 0.0
    if state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        model.load_state_dict(saved["learnt"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    model.train()
    for step in range(first, steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 20) * (1 - step / steps)
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            loss = loss_of(model, *vars(batches.batch(step)).values())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        total += float(loss.detach())
        if (step + 1) % 50 == 0:
            print(f"step {step + 1} of {steps}, loss {total / 50:.4f}", flush=True)
            total = 0.0
            learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}
            torch.save({"learnt": learnt, "optimizer": optimizer.state_dict(), "step": step + 1}, f"{state}.tmp")
            Path(f"{state}.tmp").replace(state)
    with torch.no_grad():
        for parameter, old in zip(learning, before, strict=True):
            parameter.lerp_(old, 1 - blend)
    finish(model.eval(), folder, out)
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m engram_local.tools.train.settle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="of the full setting")
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build/train"), help="packages and corpus")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--rows", type=int, default=4, help="of 256 tokens a step")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--decisive", type=float, default=2.0, help="weight of the tokens that say what is not known")
    parser.add_argument("--blend", type=float, default=0.8, help="0: the weights before; 1: those after the last step")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    try:
        settle(
            given.checkpoint,
            make_corpus(given.work, given.checkpoint),
            given.out,
            steps=given.steps,
            rows=given.rows,
            lr=given.lr,
            decisive=given.decisive,
            blend=given.blend,
            device=given.device,
        )
    except EngramError as error:
        sys.exit(f"{error}")
