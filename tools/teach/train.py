"""The training loop: answers are learnt, the frozen model's own text is kept as it was; with progress and resume."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from engram_local.interrupt import interruptible

from . import ranks
from .documents import Batch, Batches, Documents
from .model import TaughtModel
from .own_text import OwnText, divergence


@dataclass(frozen=True)
class Settings:
    """One training run; the defaults are for two CPU cores."""

    epochs: float = 2.0
    minutes: float = 0.0  # of training, where given: as many passes as fit into them
    batch: int = 16  # documents a step, of each rank
    lr: float = 3e-3  # projections and norms
    table_lr: float = 1e-2
    warmup: float = 0.05  # share of the steps
    question_drop: float = 0.0  # share of the questions that are read without memory
    silence: float = 4.0  # weight of the divergence on own text
    own_texts: int = 384
    own_batch: int = 4  # texts a step, of each rank
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
    the end of its step, and is raised then. Several ranks do one training: `own` are the texts of each, steps of theirs
    are of `ranks.n_ranks()` batches.
    """
    batches = Batches(documents, settings.batch, settings.seed, settings.question_drop, model.device)
    n_steps, optimizer = settings.n_steps(batches), make_optimizer(model, settings)
    path, step, spent = folder / "state.pt", 0, 0.0  # spent: seconds of training before this run
    if path.exists():
        state = torch.load(path, map_location=model.device, weights_only=True)
        model.layers.load_state_dict(state["layers"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        n_steps = state["n_steps"] if settings.minutes else n_steps
    clipped, parameters = optimizer.param_groups[1]["params"], list(model.layers.parameters())
    ranks.copy_from_rank_0(parameters)
    sums = torch.zeros(2, device=model.device)
    began = saved = reported = time.monotonic()
    first = told = step  # told: step of the last report
    compiled = first, 0.0  # a step, and seconds of this run until then, by which everything was compiled
    with interruptible() as interrupted:
        while step < n_steps:
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * rate(step, n_steps, settings.warmup)
            for batch in batches.batch(step):
                answers = loss_of_answers(model, batch) * batch.share
                answers.backward()
                sums[0] += answers.detach()
            if settings.silence and own:
                generator = torch.Generator().manual_seed((settings.seed + 1_000 * ranks.rank()) * 1_000_003 + step)
                silence = loss_of_own_text(model, own[step % len(own)], settings.own_batch, generator)
                (settings.silence / ranks.n_ranks() * silence).backward()
                sums[1] += silence.detach() / ranks.n_ranks()
            ranks.add_up(p.grad for p in parameters)
            nn.utils.clip_grad_norm_(clipped, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            model.silence_prefix()
            step += 1
            if step % report_every == 0 or step == n_steps or (interrupted() and ranks.n_ranks() == 1):
                n = step - told
                ranks.add_up([sums])
                answers_, own_ = (sums / n).tolist()  # waits for the device
                now = time.monotonic()
                ran, seconds = ranks.agree(now - began, (now - reported) / n)
                if settings.minutes and step - first > 2 * report_every:
                    pace = (ran - compiled[1]) / (step - compiled[0])
                    n_steps = step + max(0, int((60 * settings.minutes - spent - ran) / pace))
                elif step - first == 2 * report_every:
                    compiled = step, ran
                if on_report:
                    on_report(Step(step, n_steps, answers_, own_, seconds))
                sums, reported, told = torch.zeros(2, device=model.device), now, step
                (leave,) = ranks.agree(interrupted())
                stop = leave or ran > stop_after
                if (stop or now - saved > checkpoint_every) and not ranks.rank():
                    state = {"layers": model.layers.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                    torch.save(state | {"n_steps": n_steps, "spent": spent + ran}, path.with_suffix(".partial"))
                    path.with_suffix(".partial").replace(path)
                    saved = now
                if leave:
                    raise KeyboardInterrupt
                if stop and step < n_steps:
                    return False
    return True
