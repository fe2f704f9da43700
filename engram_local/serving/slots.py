"""Slots: as many contexts as may be in use at once. An idle one keeps its tokens, for the next prompt may begin so."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engram_local.model import Model
from engram_local.session import Session

WORTH_KEEPING = 0.25  # of a prompt: with less in common the slot that was idle longest is taken


@dataclass(eq=False)
class Slot:
    """One context, and what uses it."""

    session: Any = None  # Session; None before the first prompt, and after an error
    choice: Any = None  # Choice; None while idle
    used: int = 0  # the higher the later
    position: int = 0  # tokens of the choice that the model has been given


@dataclass
class Slots:
    """All slots of a model. Not for several threads at once."""

    model: Model
    n: int
    all: list[Slot] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.all = [Slot() for _ in range(self.n)]
        self._clock = itertools.count(1)

    @property
    def busy(self) -> list[Slot]:
        """Those in use."""
        return [x for x in self.all if x.choice is not None]

    def take(self, prompt: Sequence[int], memory: bool, reuse: bool) -> Slot | None:
        """An idle slot whose session has memory or not, as asked, and as many of the prompt's first tokens as there
        are (all but the last, whose logits are wanted; none without `reuse`). None where all are in use."""
        idle = [x for x in self.all if x.choice is None]
        if not idle:
            return None
        wanted = np.asarray(prompt[:-1] if reuse else [], np.int64)
        common = {id(x): _n_common(x.session, wanted, memory) for x in idle}
        slot = max(idle, key=lambda x: (common[id(x)], -x.used))
        if common[id(slot)] < WORTH_KEEPING * len(prompt):
            slot = min(idle, key=lambda x: (not self._is_near(x), x.used))
        if slot.session is not None and slot.session.memory != memory:
            self.drop(slot)
        if slot.session is None:
            slot.session = self.model.session(memory)
        slot.position = slot.session.keep_prefix(wanted, exact=False)
        slot.used = next(self._clock)
        return slot

    def _is_near(self, slot: Slot) -> bool:
        """Whether a backend can compute it together with those in use and move none of them."""
        places = [x.session.context.place for x in self.busy]
        place = slot.session.context.place if slot.session is not None else None
        return not places or place is None or any(abs(place - x) == 1 for x in places if x is not None)

    def release(self, slot: Slot) -> None:
        """Make a slot idle."""
        slot.choice = None
        slot.used = next(self._clock)

    def drop(self, slot: Slot) -> None:
        """Forget a slot's tokens, memory and all."""
        session, slot.session = slot.session, None
        if session is not None:
            session.close()

    def close(self) -> None:
        """Free all contexts."""
        for slot in self.all:
            self.drop(slot)


def _n_common(session: Session | None, wanted: np.ndarray, memory: bool) -> int:
    """Tokens that a session's context begins with as wanted."""
    if session is None or session.memory != memory:
        return 0
    n = min(len(wanted), session.length)
    differing = np.flatnonzero(session.tokens[:n] != wanted[:n])
    return int(differing[0]) if len(differing) else n
