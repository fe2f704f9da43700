"""A progress bar on stderr, where that is a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from engram_local.foreign_text import clean
from engram_local.sizes import format_size


class Progress(Protocol):
    """What long work calls now and then. `total` 0: not known."""

    def __call__(self, what: str, done: int, total: int, unit: str = "B") -> None: ...


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yields a Progress that shows speed and time left. The bar is gone when the block ends."""
    if not sys.stderr.isatty():
        yield lambda what, done, total, unit="B": None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[speed]}", markup=False),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, speed="")

        def update(what: str, done: int, total: int, unit: str = "B") -> None:
            what = clean(what)
            if what != bar.tasks[0].description:
                bar.reset(task, total=total or None, description=what, speed="")
            bar.update(task, completed=done, speed=speed_text(bar.tasks[0].speed, unit))

        yield update


def speed_text(speed: float | None, unit: str) -> str:
    """Example: speed_text(1234567.8, "rows") -> "1,234,568 rows/s"; speed_text(2**20, "B") -> "1.0 MiB/s"."""
    if speed is None:
        return ""
    return f"{format_size(speed) if unit == 'B' else f'{speed:,.0f} {unit}'}/s"
