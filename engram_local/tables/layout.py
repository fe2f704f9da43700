"""Where the bytes of a table's rows lie: one file of our own, or tensors inside other people's files."""

from typing import NamedTuple


class Extent(NamedTuple):
    """Consecutive rows at consecutive places of files[file]: row r lies at offset + (r - first_row) * width."""

    file: int
    first_row: int
    n_rows: int
    offset: int


class Column(NamedTuple):
    """`width` bytes of every row."""

    width: int
    extents: tuple[Extent, ...]


class TableLayout(NamedTuple):
    """A table whose rows are the bytes of its columns one after another. `scale` multiplies every value."""

    encoding: str
    n_rows: int
    dim: int
    files: tuple[str, ...]
    columns: tuple[Column, ...]
    scale: float = 1.0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, of all columns."""
        return sum(column.width for column in self.columns)

    @property
    def data_bytes(self) -> int:
        """Bytes of all rows."""
        return self.n_rows * self.row_bytes

    def end_of(self, file: int) -> int:
        """Bytes that files[file] must have."""
        ends = (x.offset + x.n_rows * c.width for c in self.columns for x in c.extents if x.file == file)
        return max(ends, default=0)
