"""What an answer took: --timings, /timings."""

import time
from typing import TYPE_CHECKING

from engram_local.generation import Step
from engram_local.model import Model

if TYPE_CHECKING:
    from engram_local.conversation import Steps


class Timings:
    """Watches one answer: tokens, speeds, and what was read of the tables while it came."""

    def __init__(self, model: Model):
        self._tables = model.tables
        self.last: Step | None = None
        self.first_token_s = 0.0
        self.rows_read, self.cache_hits = 0, 0
        self.cached = any(x.stats().get("cache") for x in self._tables.values())  # whether one stands before the rows

    def watch(self, steps: "Steps") -> "Steps":
        """The same steps."""
        begun, rows, hits = time.perf_counter(), *self._counts()
        try:
            for step in steps:
                if self.last is None:
                    self.first_token_s = time.perf_counter() - begun
                self.last = step
                yield step
        finally:
            steps.close()
            after = self._counts()
            self.rows_read, self.cache_hits = after[0] - rows, after[1] - hits

    def line(self) -> str:
        """Example: "prompt 10 tokens, 3 kept, first token after 2.1 ms; 8 tokens, 341 tok/s; 272 rows, 51 cache hits".
        Kept are those that the session had evaluated before."""
        last = self.last
        if last is None:
            return "no tokens"
        kept = f", {last.n_reused} kept" if last.n_reused else ""
        cache = f"{self.cache_hits:,} cache hits" if self.cached else "no cache"
        return (
            f"prompt {last.n_prompt} tokens{kept}, first token after {1e3 * self.first_token_s:.1f} ms; "
            f"{last.n_generated} tokens, {last.decode_tok_s:,.0f} tok/s; {self.rows_read:,} rows, {cache}"
        )

    def _counts(self) -> tuple[int, int]:
        """Rows read and cache hits of all tables since they were opened."""
        stats = [x.stats() for x in self._tables.values()]
        return sum(x["rows_read"] for x in stats), sum((x.get("cache") or {}).get("hits", 0) for x in stats)
