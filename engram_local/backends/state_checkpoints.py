"""Earlier states of sequences whose backbone cannot go back by itself (recurrent and hybrid ones)."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Checkpoint:
    owner: Any  # whose sequence
    length: int  # tokens that the state has seen
    state: np.ndarray  # uint8 [n]


class StateCheckpoints:
    """The newest checkpoints of all sequences that fit into a budget of bytes."""

    def __init__(self, budget: int):
        self.budget = budget
        self._kept: list[Checkpoint] = []  # oldest first; a few dozen at most

    def add(self, owner: Any, length: int, state: np.ndarray) -> None:
        """Keep `state`, letting go of the oldest states where the budget asks for it."""
        self._kept.append(Checkpoint(owner, length, state))
        while sum(x.state.nbytes for x in self._kept) > self.budget:
            del self._kept[0]

    def latest(self, owner: Any, length: int | None = None) -> Checkpoint | None:
        """The owner's longest checkpoint, of at most `length` tokens."""
        found = [x for x in self._kept if x.owner == owner and (length is None or x.length <= length)]
        return max(found, key=lambda x: x.length, default=None)

    def drop(self, owner: Any, longer_than: int = -1) -> None:
        """Forget the owner's checkpoints of more tokens than that: all of them by default."""
        self._kept = [x for x in self._kept if x.owner != owner or x.length <= longer_than]
