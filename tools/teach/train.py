"""The training loop: answers are learnt, the frozen model's own text is kept as it was; with progress and resume."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engram_local.interrupt import interruptible

from .documents import Batch, Batches, Documents
from .model import TaughtModel
from .own_text import OwnText, divergence


@dataclass(frozen=True)
class Settings:
    """One training run; the defaults are for two CPU cores."""

    epochs: float = 2.0
    batch: int = 16  # documents
    lr: float = 3e-3  # projections and norms
    table_lr: float = 1e-2
    warmup: float = 0.05  # share of the steps
    question_drop: float = 0.0  # share of the questions that are read without memory
    silence: float = 4.0  # weight of the divergence on own text
    own_texts: int = 384
    own_batch: int = 4  # texts a step
    own_length: int = 64  # tokens
    n_wordings: int = 8  # of a user's question: so often is each fact seen in an epoch
    n_asked: int = 200  # questions of each set of figures
    seed: int = 0

    def n_steps(self, batches: Batches) -> int:
        """Steps of the whole training."""
        return max(1, round(self.epochs * batches.epoch_steps))


def rate(step: int, n_steps: int, warmup: float) -> float:
    """Share of the learning rate at `step`: linear warm-up, cosine to a twentieth."""
    first = max(1, round(warmup * n_steps))
    if step < first:
        return (step + 1) / first
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, n_steps - first)))


def make_optimizer(model: TaughtModel, settings: Settings) -> torch.optim.AdamW:
    """Tables: their own rate, no decay. Projections: a hundredth of decay."""
    tables = [layer.table.weight for layer in model.layers.values()]
    rest = [p for name, p in model.layers.named_parameters() if "table" not in name]
    groups = [
        {"params": tables, "weight_decay": 0.0, "full_lr": settings.table_lr},
        {"params": rest, "weight_decay": 0.01, "full_lr": settings.lr},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.95), fused=True)


def loss_of_answers(model: TaughtModel, batch: Batch) -> torch.Tensor:
    """Mean cross entropy of the answers' tokens; logits are computed only there."""
    hidden = model.hidden_states(batch.tokens, batch.chat, batch.memory).flatten(0, 1)[batch.picked]
    return nn.functional.cross_entropy(model.logits(hidden), batch.targets)


def loss_of_own_text(model: TaughtModel, own: OwnText, n: int, generator: torch.Generator) -> torch.Tensor:
    """Mean divergence from the frozen model on `n` of its texts."""
    chosen = torch.randint(len(own.tokens), (n,), generator=generator).to(model.device)
    return divergence(model, model.hidden_states(own.tokens[chosen], own.chat), own.hidden[chosen])


@dataclass(frozen=True)
class Step:
    """What is reported now and then: step number (of n_steps), mean losses since the last report, seconds a step."""

    number: int
    n_steps: int
    answers: float
    own_text: float
    seconds: float


def train(
    model: TaughtModel,
    documents: Documents,
    own: list[OwnText],
    settings: Settings,
    folder: Path,
    *,
    checkpoint_every: float = 300.0,
    stop_after: float = math.inf,
    report_every: int = 20,
    on_report: Callable[[Step], None] | None = None,
) -> bool:
    """Train `model` in place; whether it is finished. Goes on from FOLDER/state.pt.

    checkpoint_every, stop_after: seconds; a run that is stopped leaves its state behind. The first Ctrl-C does so at
    the end of its step, and is raised then.
    """
    batches = Batches(documents, settings.batch, settings.seed, settings.question_drop, model.device)
    n_steps, optimizer = settings.n_steps(batches), make_optimizer(model, settings)
    path, first = folder / "state.pt", 0
    if path.exists():
        state = torch.load(path, map_location=model.device, weights_only=True)
        model.layers.load_state_dict(state["layers"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    clipped = optimizer.param_groups[1]["params"]
    sums = torch.zeros(2, device=model.device)
    began = saved = reported = time.monotonic()
    told = first  # step of the last report
    with interruptible() as interrupted:
        for step in range(first, n_steps):
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * rate(step, n_steps, settings.warmup)
            answers = loss_of_answers(model, batches.batch(step))
            answers.backward()
            sums[0] += answers.detach()
            if settings.silence and own:
                generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
                silence = loss_of_own_text(model, own[step % len(own)], settings.own_batch, generator)
                (settings.silence * silence).backward()
                sums[1] += silence.detach()
            nn.utils.clip_grad_norm_(clipped, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            model.silence_prefix()
            if (step + 1) % report_every == 0 or step + 1 == n_steps or interrupted():
                n, told = step + 1 - told, step + 1
                answers_, own_ = (sums / n).tolist()  # waits for the device
                now = time.monotonic()
                if on_report:
                    on_report(Step(step + 1, n_steps, answers_, own_, (now - reported) / n))
                sums, reported = torch.zeros(2, device=model.device), now
                leave = interrupted()
                stop = leave or now - began > stop_after
                if stop or now - saved > checkpoint_every:
                    state = {"layers": model.layers.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                    torch.save(state, path.with_suffix(".partial"))
                    path.with_suffix(".partial").replace(path)
                    saved = time.monotonic()
                if leave:
                    raise KeyboardInterrupt
                if stop and step + 1 < n_steps:
                    return False
    return True
