"""More steps for a trained checkpoint, on a CPU: the second half of its blocks learns on, all else stays.

    python -m engram_local.tools.train.settle CHECKPOINT CORPUS OUT [--steps 100]

For what is to be said differently after a long training: form, not facts.
"""

import argparse
from pathlib import Path

import torch

from .data import Batches
from .model import EngramModel
from .train import finish, loss_of


def settle(checkpoint: Path, corpus: Path, out: Path, *, steps: int, rows: int, lr: float, decisive: float) -> None:
    """Train the later blocks of `checkpoint` on `corpus` at a rate that falls to nothing; writes the folder `out`."""
    model = EngramModel.load(checkpoint)
    model.requires_grad_(False)
    half = model.backbone.get_decoder().layers
    blocks = [p for block in half[len(half) // 2 :].requires_grad_(True) for p in block.parameters()]
    optimizer = torch.optim.AdamW(blocks, lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    batches = Batches(corpus / "corpus.npz", rows, 0, 0.5, "cpu", decisive=decisive)
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 10) * (1 - step / steps)
        loss = loss_of(model, *vars(batches.batch(step)).values())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(blocks, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0 or step + 1 == steps:
            print(f"step {step} of {steps}, loss {float(loss.detach()):.4f}", flush=True)
    finish(model.eval(), corpus, out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rows", type=int, default=8, help="of 256 tokens a step")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--decisive", type=float, default=3.0, help="weight of the tokens that say what is not known")
    given = parser.parse_args()
    settle(
        given.checkpoint,
        given.corpus,
        given.out,
        steps=given.steps,
        rows=given.rows,
        lr=given.lr,
        decisive=given.decisive,
    )
