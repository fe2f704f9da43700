"""Keys and values of many sequences in one buffer a name, so that those of a batch lie next to each other."""

import mmap
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from typing import Any
from weakref import ref

import numpy as np

CACHE_LINE = 64  # bytes
FIRST_CAPACITY = 4096  # tokens; the buffers double when they are full, and whoever runs waits while they are copied


class Slots:
    """KV buffers [n_slots, heads, capacity, head_dim], float32, one for each key and value of a graph.

    An owner has the slot that its `slot` says, filled with `held` tokens; one that nobody refers to any more loses it.
    Not for several threads at once.
    """

    def __init__(self, shapes: dict[str, tuple[int, int]], context_length: int, n_first: int = 1):
        """`shapes`: (heads, head_dim) of each name; n_first: slots to begin with; they double when they are full."""
        self._shapes, self._context_length, self._n_first = shapes, context_length, n_first
        self._owners: list[ref[Any] | None] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.capacity = 0
        self.bindings: dict[Any, Any] = {}  # whatever holds addresses of `arrays`; emptied when they change

    @property
    def n_bytes(self) -> int:
        """What the buffers take; pages that no token has reached yet are the system's until then."""
        return sum(x.nbytes for x in self.arrays.values())

    def take(self, owner: Any) -> None:
        """Give `owner` a slot of its own."""
        free = [i for i in range(len(self._owners)) if self._owner(i) is None]
        if not free:
            free = [len(self._owners)]
            capacity = max(self.capacity, min(FIRST_CAPACITY, self._context_length))
            self._allocate(max(self._n_first, 2 * len(self._owners)), capacity)
        self._put(free[0], owner)

    def drop(self, owner: Any) -> None:
        """Take the slot back; with the last one the memory goes too."""
        self._owners[owner.slot] = None
        if not self.owners():
            self._owners, self.arrays, self.capacity = [], {}, 0
            self.bindings.clear()

    def owners(self) -> list[Any]:
        """All that have a slot now."""
        return [x for i in range(len(self._owners)) if (x := self._owner(i)) is not None]

    def reserve(self, n_tokens: int) -> None:
        """Make room for `n_tokens` in every slot."""
        if n_tokens > self.capacity:
            self._allocate(len(self._owners), min(max(n_tokens, 2 * self.capacity), self._context_length))

    def gather(self, owners: Sequence[Any]) -> int:
        """Have the slots of `owners` lie next to each other, in any order; returns the first. Moves few."""
        wanted = {x.slot for x in owners}
        n = len(wanted)
        if max(wanted) - min(wanted) + 1 == n:
            return min(wanted)
        first = max(range(len(self._owners) - n + 1), key=lambda i: len(wanted & set(range(i, i + n))))
        window = set(range(first, first + n))
        for source, target in zip(sorted(wanted - window), sorted(window - wanted), strict=True):
            self._swap(source, target)
        return first

    def _owner(self, slot: int) -> Any:
        owner = self._owners[slot]
        return None if owner is None else owner()

    def _put(self, slot: int, owner: Any) -> None:
        self._owners[slot] = None if owner is None else ref(owner)
        if owner is not None:
            owner.slot = slot

    def _held(self, slot: int) -> int:
        owner = self._owner(slot)
        return 0 if owner is None else owner.held

    def _swap(self, a: int, b: int) -> None:
        if self._held(a) > self._held(b):
            a, b = b, a
        n, m = self._held(a), self._held(b)
        for array in self.arrays.values():
            shorter = array[a, :, :n].copy()
            array[a, :, :m] = array[b, :, :m]
            array[b, :, :n] = shorter
        for slot, owner in ((b, self._owner(a)), (a, self._owner(b))):
            self._put(slot, owner)

    def _allocate(self, n_slots: int, capacity: int) -> None:
        for name, (heads, head_dim) in self._shapes.items():
            array = aligned_zeros(n_slots, heads, capacity, head_dim)
            for slot in range(len(self._owners)):
                n = self._held(slot)
                array[slot, :, :n] = self.arrays[name][slot, :, :n]
            self.arrays[name] = array
        self._owners += [None] * (n_slots - len(self._owners))
        self.capacity = capacity
        self.bindings.clear()


def aligned_zeros(*shape: int) -> np.ndarray:
    """float32 that begins where a cache line does, for elsewhere each vector that attention loads would touch two, and
    on small pages: on huge ones, which NumPy asks for, a first token takes the memory of thousands (each head has its
    rows apart), and the system clears all of it while an answer waits."""
    n = prod(shape)
    with suppress(AttributeError, OSError):  # not Linux; no huge pages; no memory, which NumPy says better
        memory = mmap.mmap(-1, 4 * n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        return np.frombuffer(memory, np.float32).reshape(shape)
    array = np.zeros(n + CACHE_LINE, np.float32)
    begin = -array.__array_interface__["data"][0] % CACHE_LINE // array.itemsize
    return array[begin : begin + n].reshape(shape)
