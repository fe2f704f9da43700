"""Tables: from a checkpoint's rows to the table file, in blocks, with what the encoding lost.

Memory: at most MEMORY_BYTES, however many rows there are: a block as float32, its codes, the report's arrays of the
same size, and what the allocator leaves between them. Pages of a mapped source are the page cache's, which gives them
up when memory is short.
"""

from pathlib import Path

import numpy as np

from engram_local.errors import CheckpointError, TableError
from engram_local.progress import Progress
from engram_local.tables import encodings
from engram_local.tables.file import TableWriter
from engram_local.tools.checkpoints.view import RowSource, iter_blocks

BLOCK_BYTES = 4 << 20
MEMORY_BYTES = 64 << 20


def convert_table(source: RowSource, path: Path, encoding: str, name: str, progress: Progress | None = None) -> dict:
    """Write `source` to `path` in `encoding`. Returns the quantization report of the table (see `Report`).

    `name` is what messages call the source. Raises CheckpointError for a row that cannot be stored.
    """
    report = Report(encoding)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TableWriter(path, encoding, source.n_rows, source.dim) as writer:
        for rows in iter_blocks(source, block_rows(source.dim)):
            encoded = _encode(rows, encoding, name, writer.rows_written)
            writer.append_rows(encoded)
            report.add(rows, encoded)
            if progress:
                progress(name, writer.rows_written, source.n_rows, "rows")
    return report.result()


def block_rows(dim: int) -> int:
    """Rows that are converted at a time."""
    return max(1, BLOCK_BYTES // (4 * dim))


def _encode(rows: np.ndarray, encoding: str, name: str, first: int) -> np.ndarray:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        bad = first + int(np.argmin(finite))
        raise CheckpointError(f"{name}: row {bad} holds NaN or infinity; the training run diverged")
    try:
        return encodings.encode(encoding, rows)
    except TableError as e:
        raise CheckpointError(f"{name}: after {first} rows, {e}; or choose another encoding") from e


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
        """Count rows and what their encoding lost."""
        difference = encodings.decode(self.encoding, encoded, rows.shape[1])
        difference -= rows
        error = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
        energy = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        relative = np.sqrt(error / np.where(energy == 0, np.inf, energy))
        worst = int(relative.argmax())
        if relative[worst] > self._worst:
            self._worst, self._worst_row = float(relative[worst]), self._rows + worst
        self._rows += len(rows)
        self._error += float(error.sum())
        self._energy += float(energy.sum())

    def result(self) -> dict:
        """Figures of all rows so far."""
        rms = float(np.sqrt(self._error / self._energy)) if self._energy else 0.0
        return {
            "encoding": self.encoding,
            "rows": self._rows,
            "relative_rms_error": rms,
            "worst_row": self._worst_row,
            "worst_row_relative_error": self._worst,
        }


def report_lines(info: dict) -> list[str]:
    """What an export or a quantization lost, for people; `info` is what those return."""
    lines = []
    for name, x in info["tables"].items():
        if "linked" in x:
            lines.append(f"{name}: {x['rows']:,} rows of {x['encoding']}, read in place from {', '.join(x['linked'])}")
        else:
            worst = f"worst row {x['worst_row']} with {x['worst_row_relative_error']:.2e}"
            lost = f"relative RMS error {x['relative_rms_error']:.2e}, {worst}"
            lossless = x["worst_row_relative_error"] == 0
            lines.append(f"{name}: {x['rows']:,} rows as {x['encoding']}, {'without loss' if lossless else lost}")
    if "gguf_vocabulary" in info:
        lines.append(
            f"backbone.gguf: its vocabulary was {info['gguf_vocabulary']}; this package tokenizes with tokenizer.json"
        )
    if "calibration" in info:
        x = info["calibration"]
        lines.append(
            f"on {x['tokens']:,} tokens of {x['text']}: mean KL {x['mean_kl']:.2e} nats from the source's rows, "
            f"perplexity {x['reference_perplexity']:.4f} -> {x['perplexity']:.4f} ({x['perplexity_change']:+.3%})"
        )
    return lines
