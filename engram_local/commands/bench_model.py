"""engram-local bench: prefill and decode speed with the memory off, resident and cold.

The three kinds take turns within each round, so that a busy machine slows all of them alike; the median of the rounds
counts, and the spread is shown. Tokens are random (seeded): no n-gram repeats, the worst case for a table.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from engram_local.commands.terminal import Result, check_writable, write_file
from engram_local.errors import EngramError
from engram_local.model import Model
from engram_local.progress import Progress
from engram_local.sizes import format_size
from engram_local.tables.model_tables import ModelTables
from engram_local.tables.page_cache import STAYS, can_be_cold, drop_pages, resident_share

KINDS = ("no_memory", "resident", "cold")
MEMORY_KINDS = KINDS[1:]
ANY_SIZE = 2**62  # a RAM limit under which every table is resident


@dataclass
class Rounds:
    """Figures of one kind, one entry a round."""

    prefill_tok_s: list[float] = field(default_factory=list)
    decode_tok_s: list[float] = field(default_factory=list)
    lookup_us_per_token: list[float] = field(default_factory=list)  # in decode
    page_cache: list[float | None] = field(default_factory=list)  # share of the tables in memory before the prefill


def run_bench(
    model: Model,
    *,
    n_prompt: int,
    n_decode: int,
    rounds: int,
    cold_access: str = "direct",
    plot_file: str | None = None,
    result: Result | None = None,
    progress: Progress | None = None,
) -> None:
    """Measure, print a table or give `result` what it asks for, draw `plot_file`.

    Raises EngramError before measuring where the context is too short, matplotlib is missing, or the plot cannot be
    written.
    """
    result = result or Result(False)
    if n_prompt + n_decode > model.context_length:
        raise EngramError(
            f"{n_prompt} prompt and {n_decode} generated tokens exceed the context of {model.context_length}; "
            "use --prompt-tokens and --tokens"
        )
    if plot_file:
        _check_plot(Path(plot_file))
    figures = measure(model, n_prompt, n_decode, rounds, cold_access, progress)
    found = summary(model, figures)
    if not result.give(found):
        print_table(model, figures, found, n_prompt, n_decode)
    if plot_file:
        path = Path(plot_file)
        write_file(path, lambda partial: plot(figures, found, partial, path.suffix.lstrip(".")))


def measure(
    model: Model, n_prompt: int, n_decode: int, rounds: int, cold_access: str, progress: Progress | None = None
) -> dict[str, Rounds]:
    """All rounds of all kinds, "cold" left out where the tables' pages stay in memory; one unrecorded round first warms
    code and buffers."""
    tables = model.tables
    access, ram_limit = tables.access, tables.ram_limit
    files = _files(tables)
    tables.close()
    cold = all([can_be_cold(file) for file in files])
    tables.reopen(access, ram_limit)
    figures = {kind: Rounds() for kind in KINDS if cold or kind != "cold"}
    for i in range(-1, rounds):
        tokens = np.random.default_rng(i + 1).integers(0, model.tokenizer.vocab_size, n_prompt + n_decode)
        for number, kind in enumerate(figures):
            if progress:
                progress("measuring", (i + 1) * len(figures) + number, (rounds + 1) * len(figures), "runs")
            if kind == "resident":
                tables.reopen("auto", ANY_SIZE)
                for table in tables.values():
                    table.warm()
            chill = (lambda: _chill(tables, cold_access, ram_limit)) if kind == "cold" else None
            target = figures[kind] if i >= 0 else Rounds()
            _measure_once(model, tokens[:n_prompt], tokens[n_prompt:], kind != "no_memory", chill, target)
    tables.reopen(access, ram_limit)
    return figures


def _measure_once(
    model: Model, prompt: np.ndarray, answer: np.ndarray, memory: bool, chill: Callable[[], None] | None, out: Rounds
) -> None:
    """One prefill and one decode. `chill` drops the tables' pages: before the prefill and, untimed, each token."""
    if chill:
        chill()
    session = model.session(memory)
    shares = [resident_share(file) for file in _files(model.tables)] if memory else []
    known = [x for x in shares if x is not None]
    out.page_cache.append(sum(known) / len(known) if known and len(known) == len(shares) else None)
    start = time.perf_counter()
    session.forward(prompt)
    out.prefill_tok_s.append(len(prompt) / (time.perf_counter() - start))
    lookup_before, busy = session.stats.lookup_s, 0.0
    for token in answer:
        if chill:
            chill()
        start = time.perf_counter()
        session.forward([token]).argmax()
        busy += time.perf_counter() - start
    out.decode_tok_s.append(len(answer) / busy)
    out.lookup_us_per_token.append(1e6 * (session.stats.lookup_s - lookup_before) / len(answer))
    session.close()


def _chill(tables: ModelTables, access: str, ram_limit: int | None) -> None:
    """Open the tables anew, for the cache of hot rows and mapped pages would stay, with none of them in memory."""
    files = _files(tables)
    tables.close()
    for file in files:
        drop_pages(file)
    tables.reopen(access, ram_limit)


def _files(tables: ModelTables) -> list[str]:
    """The files that rows lie in."""
    return [file for table in tables.values() for file in table.layout.files]


def summary(model: Model, figures: dict[str, Rounds]) -> dict:
    """What --json tells: medians, None for "cold" where it was left out; page_cache is the share of the tables in
    memory before each prefill."""

    def medians(name: str, kinds: Sequence[str] = KINDS) -> dict:
        return {kind: round(median(getattr(figures[kind], name)), 2) if kind in figures else None for kind in kinds}

    def share(kind: str) -> float | None:
        known = [x for x in figures[kind].page_cache if x is not None] if kind in figures else []
        return round(median(known), 4) if known else None

    return {
        "model": str(model.folder.path),
        "backend": model.backend.name,
        "threads": model.threads,
        "page_cache": {kind: share(kind) for kind in MEMORY_KINDS},
        "prefill_tok_s": medians("prefill_tok_s"),
        "decode_tok_s": medians("decode_tok_s"),
        "lookup_us_per_token": medians("lookup_us_per_token", MEMORY_KINDS),
        "peak_rss_bytes": peak_rss_bytes(),
    }


def print_table(model: Model, figures: dict[str, Rounds], result: dict, n_prompt: int, n_decode: int) -> None:
    """What a terminal shows: `summary`'s medians with the spread of the rounds."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Grid

    console = Console(highlight=False, markup=False)
    n_rounds = len(figures["resident"].decode_tok_s)
    console.print(
        f"{result['model']}: {result['backend']}, {result['threads']} threads\n"
        f"prompt {n_prompt}, {n_decode} tokens; median (lowest-highest) of {n_rounds} rounds"
    )
    kinds = [kind for kind in MEMORY_KINDS if kind in figures]
    lookups = {kind: figures[kind].lookup_us_per_token for kind in kinds}
    shares = {kind: result["lookup_us_per_token"][kind] * result["decode_tok_s"][kind] / 1e6 for kind in kinds}
    cached = [result["page_cache"][kind] for kind in kinds]
    grid = Grid(box=SIMPLE_HEAD, pad_edge=False)
    grid.add_column(no_wrap=True)
    for name in ("memory off", *kinds):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_row("prefill tok/s", *(spread(x.prefill_tok_s) for x in figures.values()))
    grid.add_row("decode tok/s", *(spread(x.decode_tok_s) for x in figures.values()))
    grid.add_row("lookup µs/token", "", *(spread(x) for x in lookups.values()))
    grid.add_row("lookup share", "", *(f"{x:.1%}" for x in shares.values()))
    grid.add_row("in page cache", "", *("unknown" if x is None else f"{x:.0%}" for x in cached))
    console.print(grid)
    if "cold" not in figures:
        console.print(f"cold left out: {STAYS}")
    tables = sum(table.n_rows * table.row_bytes for table in model.tables.values())
    console.print(f"tables {format_size(tables)}; peak RSS {format_size(result['peak_rss_bytes'])}")


def spread(values: list[float]) -> str:
    """Example: [1.0, 2.0, 9.0] -> "2.0 (1.0-9.0)"."""
    return f"{_short(median(values))} ({_short(min(values))}-{_short(max(values))})"


def _short(value: float) -> str:
    """Three or four digits: 36575 -> "36.6k", 1925 -> "1925", 41.27 -> "41.3"."""
    if value >= 10_000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def peak_rss_bytes() -> int:
    """Most memory this process has had at once, mapped table pages included; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _check_plot(path: Path) -> None:
    """Raises EngramError where `plot` would fail."""
    check_writable(path)
    known = _pyplot().figure().canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:] not in known:
        raise EngramError(f"{path}: cannot be written: choose one of {', '.join(sorted(known))}")


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise EngramError("--plot needs matplotlib; pip install 'engram_local[plot]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def plot(figures: dict[str, Rounds], result: dict, path: Path, file_format: str) -> None:
    """Bars of both speeds, whiskers from the lowest to the highest round."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axis, name, title in zip(axes, ("prefill_tok_s", "decode_tok_s"), ("prefill", "decode"), strict=True):
        values = [getattr(figures[kind], name) for kind in figures]
        middle = [median(v) for v in values]
        below = [m - min(v) for m, v in zip(middle, values, strict=True)]
        above = [max(v) - m for m, v in zip(middle, values, strict=True)]
        colours = ["#999999", "#2f7ed8", "#8bbcf0"]
        names = ["memory off", *(kind for kind in figures if kind in MEMORY_KINDS)]
        axis.bar(names, middle, yerr=[below, above], capsize=4, color=colours[: len(names)])
        axis.set_title(f"{title}, tokens/s")
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{Path(result['model']).name}, {result['backend']}, {result['threads']} threads", fontsize=10)
    figure.savefig(path, format=file_format or "png", dpi=150)
    pyplot.close(figure)
