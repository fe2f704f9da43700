"""Tables: from a checkpoint's rows to the table file, in blocks, with what the encoding lost.

Memory: a block of at most BLOCK_BYTES as float32 and a few arrays of its size, however many rows there are.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from engram_local import row_codecs
from engram_local.errors import CheckpointError
from engram_local.table_file import TableWriter
from engram_local.tools.checkpoints.view import RowSource, iter_blocks

BLOCK_BYTES = 16 << 20

Progress = Callable[[str, int, int], None]  # (what, done, in all); a table's unit is rows


def convert_table(source: RowSource, path: Path, encoding: str, name: str, progress: Progress | None = None) -> dict:
    """Write `source` to `path` in `encoding`. Returns the quantization report of the table (see `Report`)."""
    report = Report(encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TableWriter(path, encoding, source.n_rows, source.dim) as writer:
        for rows in iter_blocks(source, max(1, BLOCK_BYTES // (4 * source.dim))):
            if not np.isfinite(rows).all():
                bad = writer.rows_written + int(np.argmin(np.isfinite(rows).all(axis=1)))
                raise CheckpointError(f"{name}: row {bad} holds NaN or infinity; the training run diverged")
            encoded = row_codecs.encode(encoding, rows)
            writer.append_rows(encoded)
            report.add(rows, encoded)
            if progress:
                progress(name, writer.rows_written, source.n_rows)
    return report.result()


class Report:
    """What an encoding loses: the root mean square error over all values, relative to the values' own root mean
    square, and the row whose error is largest relative to its own length.
    """

    def __init__(self, encoding: str):
        self.encoding = encoding
        self._rows = 0
        self._error = self._energy = 0.0
        self._worst, self._worst_row = 0.0, 0

    def add(self, rows: np.ndarray, encoded: np.ndarray) -> None:
        error = np.square(row_codecs.decode(self.encoding, encoded, rows.shape[1]) - rows).sum(axis=1, dtype=np.float64)
        energy = np.square(rows).sum(axis=1, dtype=np.float64)
        relative = np.sqrt(error / np.where(energy == 0, np.inf, energy))
        worst = int(relative.argmax())
        if relative[worst] > self._worst:
            self._worst, self._worst_row = float(relative[worst]), self._rows + worst
        self._rows += len(rows)
        self._error += float(error.sum())
        self._energy += float(energy.sum())

    def result(self) -> dict:
        rms = float(np.sqrt(self._error / self._energy)) if self._energy else 0.0
        return {
            "encoding": self.encoding,
            "rows": self._rows,
            "relative_rms_error": rms,
            "worst_row": self._worst_row,
            "worst_row_relative_error": self._worst,
        }
