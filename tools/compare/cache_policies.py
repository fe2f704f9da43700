"""Which rows a cache in front of the disk should keep: LRU, CLOCK, S3-FIFO and W-TinyLFU on the rows of real text.

The policies are simulated on the row ids that a text reads, one head of each order (all heads of an order repeat
alike), with a cache of so many percent of the table for each. Two bounds stand beside them: Belady's choice, which
knows the future, and a cache that forgets nothing. "text" reads the text once through. "chat" reads a text in turns,
and before each turn a long prompt of other text passes by once: hits are counted in the turns alone.
"""

import heapq
from collections import Counter, OrderedDict, deque
from itertools import chain
from typing import Any

import numpy as np

from engram_local.commands.bench_table import HEADS, LAYERS, ORDERS, make_hasher
from engram_local.tools.compare.table_text import real_text

N_ROWS, DIM = 33_294_320, 256  # a table of 8 GiB
SHARES = (0.002, 0.01, 0.05)
TURN, PROMPT = 2_000, 20_000  # tokens


class Lru:
    name = "LRU"

    def __init__(self, capacity: int):
        self.capacity, self.rows = capacity, OrderedDict()

    def access(self, row: int) -> bool:
        """Whether the row was there; it is afterwards, if the policy takes it in."""
        if row in self.rows:
            self.rows.move_to_end(row)
            return True
        if len(self.rows) >= self.capacity:
            self.rows.popitem(last=False)
        self.rows[row] = None
        return False


class Clock:
    name = "CLOCK"

    def __init__(self, capacity: int):
        self.capacity, self.used, self.ring = capacity, {}, deque()

    def access(self, row: int) -> bool:
        if row in self.used:
            self.used[row] = True
            return True
        while len(self.ring) >= self.capacity:
            oldest = self.ring.popleft()
            if self.used[oldest]:
                self.used[oldest] = False
                self.ring.append(oldest)
            else:
                del self.used[oldest]
        self.used[row] = False
        self.ring.append(row)
        return False


class S3Fifo:
    """As ext/cache.c does it: a small queue of a tenth, a main one, and the names of those that left the small one."""

    name = "S3-FIFO"

    def __init__(self, capacity: int):
        self.capacity, self.uses, self.small, self.main, self.ghosts = capacity, {}, deque(), deque(), OrderedDict()

    def access(self, row: int) -> bool:
        if row in self.uses:
            self.uses[row] = min(3, self.uses[row] + 1)
            return True
        while len(self.uses) >= self.capacity:
            if len(self.small) > self.capacity // 10 or not self.main:
                self._age_small()
            else:
                self._age_main()
        self.uses[row] = 0
        (self.main if self.ghosts.pop(row, False) else self.small).append(row)
        return False

    def _age_small(self) -> None:
        row = self.small.popleft()
        if self.uses[row]:
            self.uses[row] = 0
            self.main.append(row)
            return
        del self.uses[row]
        self.ghosts[row] = True
        if len(self.ghosts) > self.capacity:
            self.ghosts.popitem(last=False)

    def _age_main(self) -> None:
        row = self.main.popleft()
        if self.uses[row]:
            self.uses[row] -= 1
            self.main.append(row)
        else:
            del self.uses[row]


class TinyLfu:
    """W-TinyLFU with exact counts: a window of 1 %, then a segmented LRU that lets in what is asked for more often."""

    name = "W-TinyLFU"

    def __init__(self, capacity: int):
        self.window_size = max(1, capacity // 100)
        self.main_size = capacity - self.window_size
        self.window, self.probation, self.protected = OrderedDict(), OrderedDict(), OrderedDict()
        self.counts, self.n_accesses, self.period = Counter(), 0, 10 * capacity

    def access(self, row: int) -> bool:
        self.counts[row] += 1
        self.n_accesses += 1
        if self.n_accesses % self.period == 0:  # age
            self.counts = Counter({k: v // 2 for k, v in self.counts.items() if v > 1})
        for queue in (self.window, self.protected):
            if row in queue:
                queue.move_to_end(row)
                return True
        if row in self.probation:
            del self.probation[row]
            self.protected[row] = None
            if len(self.protected) > self.main_size * 4 // 5:
                self.probation[self.protected.popitem(last=False)[0]] = None
            return True
        self.window[row] = None
        if len(self.window) > self.window_size:
            self._enter(self.window.popitem(last=False)[0])
        return False

    def _enter(self, row: int) -> None:
        if len(self.probation) + len(self.protected) >= self.main_size:
            victims = self.probation or self.protected
            victim = next(iter(victims))
            if self.counts[row] <= self.counts[victim]:
                return
            del victims[victim]
        self.probation[row] = None


class Belady:
    """The best there can be: drops the row whose next use is furthest away. `rows`: all that will be asked for."""

    name = "Belady"

    def __init__(self, capacity: int, rows: list[int]):
        self.capacity, self.kept, self.heap, self.next_uses = capacity, {}, [], [len(rows)] * len(rows)
        seen, self.step = {}, 0
        for i in range(len(rows) - 1, -1, -1):
            self.next_uses[i] = seen.get(rows[i], len(rows))
            seen[rows[i]] = i

    def access(self, row: int) -> bool:
        next_use, hit = self.next_uses[self.step], row in self.kept
        self.step += 1
        self.kept[row] = next_use
        heapq.heappush(self.heap, (-next_use, row))
        while len(self.kept) > self.capacity:
            furthest, victim = heapq.heappop(self.heap)
            if self.kept.get(victim) == -furthest:  # else it was asked for since
                del self.kept[victim]
        return hit


POLICIES = (Lru, Clock, S3Fifo, TinyLfu)
NAMES = (*(x.name for x in POLICIES), Belady.name, "no limit")


def run(n_tokens: int = 400_000) -> dict:
    """Simulate, print and return {workload: {share: {policy: hit rate}}}."""
    tokens, source = real_text()
    rows = text_rows(tokens[:n_tokens])
    print(f"{len(rows)} tokens of {source}; hit rate with a cache of so much of a table of {N_ROWS} rows")
    print(f"{'':<8}{'cache':<9}{''.join(f'{name:>12}' for name in NAMES)}")
    result = {}
    for workload, stream in (("text", plain(rows)), ("chat", chat(rows))):
        result[workload] = {}
        rows_in_order = list(chain.from_iterable(part for part, _ in stream))
        unlimited = hit_rate(Lru(len(rows_in_order)), stream)
        for share in SHARES:
            capacity = int(share * N_ROWS * rows.shape[1] / (len(LAYERS) * len(ORDERS) * HEADS))
            found = [hit_rate(x(capacity), stream) for x in POLICIES]
            found += [hit_rate(Belady(capacity, rows_in_order), stream), unlimited]
            rates = result[workload][share] = dict(zip(NAMES, found, strict=True))
            print(f"{workload:<8}{share:<9.1%}{''.join(f'{x:>12.1%}' for x in rates.values())}", flush=True)
    return result


def text_rows(tokens: np.ndarray) -> np.ndarray:
    """Row ids int64 [n, orders] of the first head of each order."""
    return make_hasher(N_ROWS, DIM).row_ids(tokens, LAYERS[0])[:, ::HEADS]


def plain(rows: np.ndarray) -> list[tuple[list[int], bool]]:
    """[(row ids in reading order, whether their hits count)]."""
    return [(rows.ravel().tolist(), True)]


def chat(rows: np.ndarray) -> list[tuple[list[int], bool]]:
    """Turns of the text's beginning, each behind a prompt of the rest; the first two turns only fill the cache."""
    n_turns = len(rows) // (TURN + PROMPT)
    talk, prompts = rows[: n_turns * TURN], rows[n_turns * TURN :]
    stream = []
    for i in range(n_turns):
        stream.append((prompts[i * PROMPT : (i + 1) * PROMPT].ravel().tolist(), False))
        stream.append((talk[i * TURN : (i + 1) * TURN].ravel().tolist(), i >= 2))
    return stream


def hit_rate(policy: Any, stream: list[tuple[list[int], bool]]) -> float:
    """Share of `rows` that a cache holds when they are asked for."""
    hits = n = 0
    for rows, counts in stream:
        found = sum(map(policy.access, rows))
        if counts:
            hits, n = hits + found, n + len(rows)
    return hits / max(1, n)
