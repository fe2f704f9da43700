"""Progress on stderr: a bar where that is a terminal, or JSON lines for programs."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from engram_local.foreign_text import clean
from engram_local.sizes import format_size


class Progress(Protocol):
    """What long work calls now and then. `total` 0: not known."""

    def __call__(self, what: str, done: int, total: int, unit: str = "B") -> None: ...


JSON_EVERY = 0.2  # seconds between two lines on one thing; its first and its last line are always there


@contextmanager
def progress_bar(style: str = "auto") -> Iterator[Progress]:
    """Yields a Progress. "auto" is a bar with speed and time left where stderr is a terminal, gone when the block ends;
    "json" writes lines {"what": text, "done": n, "total": n or null, "unit": "B"}; "none" nothing."""
    if style == "json":
        yield _json_lines()
        return
    if style == "none" or not sys.stderr.isatty():
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


def _json_lines() -> Progress:
    last = ("", 0.0)  # what was told of, and when

    def tell(what: str, done: int, total: int, unit: str = "B") -> None:
        nonlocal last
        now = time.monotonic()
        if what == last[0] and done != total and now - last[1] < JSON_EVERY:
            return
        last = (what, now)
        line = {"what": what, "done": done, "total": total or None, "unit": unit}
        print(json.dumps(line), file=sys.stderr, flush=True)

    return tell


def speed_text(speed: float | None, unit: str) -> str:
    """Example: speed_text(1234567.8, "rows") -> "1,234,568 rows/s"; speed_text(2**20, "B") -> "1.0 MiB/s"."""
    if speed is None:
        return ""
    return f"{format_size(speed) if unit == 'B' else f'{speed:,.0f} {unit}'}/s"
