"""The tables of a model: opened together under one budget, read together, one batch of reads for all layers."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from engram_local import _native
from engram_local.arguments import integers
from engram_local.config import EngramConfig
from engram_local.errors import EngramError, ModelFolderError, RowRangeError, UsageError
from engram_local.model_folder import ModelFolder
from engram_local.tables.budget import Budget, batch_bytes_of, limit_bytes
from engram_local.tables.layout import TableLayout
from engram_local.tables.table import Table, read_layout


class ModelTables(Mapping[int, Table]):
    """{layer_id: Table}, read-only. Any number of threads may read from it.

    layouts: where each layer's rows lie; n_heads: rows that a token reads, by layer; access, ram_limit: see
    budget.Budget, which says what each table may take. `generation` counts how often the tables were opened;
    `resident`: every one is meant to stay in memory, so that nothing need be read ahead; `direct`: every one is read
    past the page cache. Raises TableError; UsageError; EngramError for a limit that reading alone exceeds.
    """

    def __init__(
        self,
        layouts: Mapping[int, TableLayout],
        n_heads: Mapping[int, int],
        access: str = "auto",
        ram_limit: int | str | None = None,
    ):
        self._layouts, self._n_heads = dict(layouts), dict(n_heads)
        self._tables: dict[int, Table] = {}
        self.generation = 0
        self.reopen(access, ram_limit)

    @classmethod
    def of(cls, folder: ModelFolder, access: str = "auto", ram_limit: int | str | None = None) -> "ModelTables":
        """The tables of a model folder; each header is read once. ModelFolderError where one is not what config.json
        says."""
        layouts = {}
        for layer in folder.engram.layers:
            path = folder.file(layer.table)
            layout = layouts[layer.layer_id] = read_layout(path)
            found = (layout.n_rows, layout.dim, layout.encoding)
            if found != (layer.n_rows, layer.head_dim, layer.encoding):
                raise ModelFolderError(
                    f"{path}: holds {found[0]} rows of {found[1]} values ({found[2]}), config.json says "
                    f"{layer.n_rows} of {layer.head_dim} ({layer.encoding}); export the model again"
                )
        return cls(layouts, heads_of(folder.engram), access, ram_limit)

    def reopen(self, access: str = "auto", ram_limit: int | str | None = None) -> None:
        """Open every table anew, with nothing cached or mapped, under another access or limit. Reads that were started
        keep the old ones."""
        limit = limit_bytes(ram_limit)
        budget = Budget.of([x.data_bytes for x in self._layouts.values()], access, limit)
        if budget.too_little:
            raise EngramError(budget.too_little)
        self.close()
        self.access, self.ram_limit, self.budget = access, limit, budget
        try:
            for (layer_id, layout), share in zip(self._layouts.items(), budget.shares, strict=True):
                self._tables[layer_id] = Table(layout, share=share)
        except BaseException:
            self.close()
            raise
        self.generation += 1
        self.resident = all(table.access == "resident" for table in self._tables.values())
        self.direct = all(table.access == "direct" for table in self._tables.values())

    @property
    def max_tokens(self) -> int:
        """Tokens that one batch of reads may hold, at least 1: two such batches fit into the budget."""
        direct = {i: x for i, x in self._tables.items() if x.access == "direct"}
        bytes_a_token = sum(batch_bytes_of(self._n_heads[i], x.row_bytes, x.dim) for i, x in direct.items())
        return max(1, self.budget.batch_bytes // bytes_a_token) if direct else sys.maxsize

    def start(self, row_ids: Mapping[int, np.ndarray]) -> "Reads":
        """Start reading {layer_id: int64 [n, n_heads]}, all layers in one batch, and return at once; n is best up to
        `max_tokens`. Raises RowRangeError; UsageError for a layer without table or closed tables."""
        return Reads(self, row_ids, self.budget.batch_bytes)

    def stats(self) -> dict[int, dict[str, Any]]:
        """{layer_id: Table.stats()}."""
        return {layer_id: table.stats() for layer_id, table in self._tables.items()}

    def close(self) -> None:
        """Close every table. Closing again does nothing."""
        for table in self._tables.values():
            table.close()
        self._tables = {}

    def __getitem__(self, layer_id: int) -> Table:
        return self._tables[layer_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __enter__(self) -> "ModelTables":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Reads:
    """Rows that were asked for (`Rows` of backends/base.py)."""

    def __init__(self, tables: Mapping[int, Table], row_ids: Mapping[int, np.ndarray], batch_bytes: int):
        """Start the reads of {layer_id: int64 [n, n_heads]}; what exceeds batch_bytes is read in pieces by `wait`."""
        self._tables: dict[int, Table] = {}
        self._row_ids: dict[int, np.ndarray] = {}
        self._rows: dict[int, np.ndarray] = {}
        self._parts: dict[int, int] = {}  # layers that are read directly: their number in the job
        parts: list[tuple[_native.TableData, np.ndarray, np.ndarray]] = []
        for layer_id, ids in row_ids.items():
            if layer_id not in tables:
                raise UsageError(f"no table of layer {layer_id} is open; there are {list(tables)}")
            table = self._tables[layer_id] = tables[layer_id]
            ids = self._row_ids[layer_id] = integers(ids, "row ids", 2, RowRangeError)
            if table.access != "direct":
                table.prefetch(ids)
                continue
            batch_bytes -= batch_bytes_of(ids.size, table.row_bytes, table.dim)
            if batch_bytes < 0:  # the RAM limit has no room for so many rows at once
                continue
            self._rows[layer_id] = np.empty((len(ids), ids.shape[1] * table.dim), np.float32)
            self._parts[layer_id] = len(parts)
            parts.append((table.native, ids.reshape(-1), self._rows[layer_id].reshape(-1)))
        self._job = _native.ReadJob(parts) if parts else None

    def wait(self, layer_id: int) -> np.ndarray:
        """Rows of one layer: float32 [n, n_heads * dim], owned by the caller. Raises TableError when a read failed."""
        if layer_id in self._parts and self._job is not None:
            self._job.wait(self._parts[layer_id])
            del self._parts[layer_id]
        elif layer_id not in self._rows:
            ids = self._row_ids[layer_id]
            self._rows[layer_id] = self._tables[layer_id].gather(ids).reshape(len(ids), -1)
        return self._rows[layer_id]


def heads_of(config: EngramConfig) -> dict[int, int]:
    """{layer_id: rows that one token reads}."""
    return {layer.layer_id: layer.n_heads for layer in config.layers}
