"""Rows of a single token in one native call, for the steps of decoding.

Hashing and gathering a token's rows takes about two microseconds; as separate calls from Python, with caches that the
backbone has just emptied, it takes twenty times as long.
"""

import numpy as np

from engram_local import _native
from engram_local.hashing import NgramHasher
from engram_local.tables.table import Table


class StepLookup:
    """`Rows` (backends/base.py) of the last token read. Twin: NgramHasher.ids, rows_of_ids and Table.gather."""

    def __init__(self, hasher: NgramHasher, tables: dict[int, Table]):
        """Every table must be resident: others are read ahead of time, or within a limit."""
        config = hasher.config
        self.rows = {i: np.zeros((1, config.layer(i).row_width), np.float32) for i in tables}
        layers = [(hasher._plans[i], table._data, self.rows[i][0]) for i, table in tables.items()]
        # read(token id, ids int64, position): map the token, write its id to ids[position], and gather what it reads
        # with the max_lag ids before. Raises TokenRangeError, TableError. Table.stats does not count these reads.
        self.read = _native.StepLookup(hasher._map, hasher.vocab_size, hasher.max_lag, layers).read

    @staticmethod
    def fits(tables: dict[int, Table]) -> bool:
        return all(table.access == "resident" for table in tables.values())

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer, float32 [1, E]; valid until the next read."""
        return self.rows[layer_id]
