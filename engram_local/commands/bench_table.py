"""engram-local bench --table: what lookups cost on this machine, on a generated table. No model takes part.

A token reads 48 rows (orders 2 to 4, 8 heads, 2 layers) of one int8 table. Tokens are random (seeded), so no row comes
twice and nothing is hot: the worst case. CPU-bound figures are the thread's own CPU time, reads from disk wall time.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from engram_local import _native
from engram_local.commands.terminal import Result, say
from engram_local.config import EngramConfig, LayerConfig, NgramOrder
from engram_local.errors import EngramError
from engram_local.hashing import NgramHasher
from engram_local.lookup import StepLookup
from engram_local.machine import available_bytes
from engram_local.progress import Progress
from engram_local.sizes import format_size
from engram_local.tables.encodings import row_bytes
from engram_local.tables.file import TableWriter
from engram_local.tables.page_cache import STAYS, can_be_cold, resident_share
from engram_local.tables.table import Table

LAYERS, ORDERS, HEADS = (1, 14), (2, 3, 4), 8
ROWS_A_TOKEN = len(LAYERS) * len(ORDERS) * HEADS
N_IDS = 129_280
PREFILL = 512
GROWTH = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
# Drawn by the rule of the paper's demo, for seed 0 and layer 1.
MULTIPLIERS = (58737837727525, 3709723095905, 27562777300965, 56710653182447)


def run_table_bench(
    *,
    n_bytes: int = 8 << 30,
    dim: int = 256,
    folder: str | None = None,
    keep: bool = False,
    result: Result | None = None,
    progress: Progress | None = None,
) -> dict:
    """Generate a table of about n_bytes in `folder` (the system's temporary one), measure, print, delete it.

    keep: leave it there, and use it if it is there already. Returns the figures, which `result` may ask for.
    """
    result = result or Result(False)
    n_rows = max(n_bytes // row_bytes("int8", dim), 2 * ROWS_A_TOKEN)
    path = Path(folder or tempfile.gettempdir()) / f"engram_local_bench_{n_rows}x{dim}.safetensors"
    existed = path.exists()
    try:
        if not existed:
            size, fate = (
                format_size(n_rows * row_bytes("int8", dim)),
                "it stays" if keep else "it is deleted at the end",
            )
            say(f"writing {path}: {size}; {fate}")
            make_table(path, n_rows, dim, progress)
        figures = measure(path)
    finally:
        if not keep and not existed:
            path.unlink(missing_ok=True)
    if not result.give(figures):
        print_figures(figures)
    return figures


def make_table(path: Path, n_rows: int, dim: int, progress: Progress | None = None) -> None:
    """An int8 table of noise; the first 8 codes of each row are its number, so that a wrong row would show."""
    free = os.statvfs(path.parent).f_bavail * os.statvfs(path.parent).f_frsize if hasattr(os, "statvfs") else 2**62
    wanted = n_rows * row_bytes("int8", dim)
    if wanted > 0.9 * free:
        raise EngramError(f"{path.parent} has {format_size(free)} free, the table needs {format_size(wanted)}")
    noise = np.random.default_rng(0).integers(0, 256, (min(n_rows, 100_000), row_bytes("int8", dim)), np.uint8)
    noise[:, -2:] = np.float16(0.07).tobytes()[0], np.float16(0.07).tobytes()[1]
    with TableWriter(path, "int8", n_rows, dim) as writer:
        for start in range(0, n_rows, len(noise)):
            rows = noise[: min(len(noise), n_rows - start)]
            rows[:, :8] = np.arange(start, start + len(rows), dtype="<i8")[:, None].view(np.uint8)
            writer.append_rows(rows)
            if progress:
                progress(path.name, (start + len(rows)) * rows.shape[1], wanted)


def make_hasher(n_rows: int, dim: int) -> NgramHasher:
    """Two layers whose heads share the first n_rows rows of one table."""
    modulus, head, layers = n_rows // ROWS_A_TOKEN, 0, []
    for layer_id in LAYERS:
        orders = []
        for order in ORDERS:
            terms = tuple((lag, MULTIPLIERS[lag] + 2 * layer_id) for lag in range(order))
            offsets = tuple((head + i) * modulus for i in range(HEADS))
            orders.append(NgramOrder(order, terms, (modulus,) * HEADS, offsets))
            head += HEADS
        layers.append(LayerConfig(layer_id, 1, dim, n_rows, "int8", "table", None, tuple(orders)))
    return NgramHasher(EngramConfig("raw", N_IDS, None, "xor", 0, (), tuple(layers)))


def measure(path: Path) -> dict:
    """All figures of one table file; {"min", "median"} of each."""
    with Table(path, access="mmap") as table:
        n_rows, dim, data_bytes = table.n_rows, table.dim, table.data_bytes
    figures: dict[str, Any] = {
        "table": {"rows": n_rows, "dim": dim, "encoding": "int8", "bytes": data_bytes},
        "machine": machine(),
        "rows_a_token": ROWS_A_TOKEN,
    }
    hasher = make_hasher(n_rows, dim)
    tokens = np.random.default_rng(1).integers(0, N_IDS, 100_000)
    figures["hash_ns_per_token"] = spread(
        sample(lambda i: [hasher.row_ids_of(tokens[i * 512 : i * 512 + 512], x, 0) for x in LAYERS], 190, 512, 1e9)
    )
    available = available_bytes()
    if data_bytes < 0.8 * available:
        with Table(path, access="resident") as table:
            table.warm()
            figures |= _resident(table, hasher, tokens)
    else:
        figures["resident"] = f"left out: {format_size(available)} of memory are free"
    figures["cold"] = _cold(path, hasher, tokens)
    return figures


def _resident(table: Table, hasher: NgramHasher, tokens: np.ndarray) -> dict:
    figures: dict[str, Any] = {"page_cache": resident_share(table.path)}
    figures["resident_us_per_token"] = spread(time_tokens(table, hasher, tokens))
    out = np.empty((PREFILL, ROWS_A_TOKEN, table.dim), np.float32)
    ids = np.concatenate([hasher.row_ids(tokens[: PREFILL * 40], x) for x in LAYERS], axis=1)

    def prefill(i: int) -> None:
        table.gather(ids[i * PREFILL : (i + 1) * PREFILL], out)

    figures["resident_prefill_ms"] = spread(sample(prefill, 40, 1, 1e3))
    figures["growth_us_per_token"] = {}
    for n in (*(n for n in GROWTH if n < table.n_rows), table.n_rows):
        figures["growth_us_per_token"][n] = spread(time_tokens(table, make_hasher(n, table.dim), tokens))
    return figures


def time_tokens(table: Table, hasher: NgramHasher, tokens: np.ndarray, batch: int = 50) -> list[float]:
    """CPU microseconds to hash a token and gather its 48 rows as float32, one native call a token as in a session.

    tokens: int64 [n]; the first half is only read, so that the caches are as a running model has them.
    """
    read = StepLookup(hasher, dict.fromkeys(LAYERS, table)).read
    ids, numbers = np.empty(len(tokens), np.int64), tokens.tolist()
    for position in range(len(tokens) // 2):
        read(numbers[position], ids, position)
    times = []
    for start in range(len(tokens) // 2, len(tokens) - batch, batch):
        begin = time.thread_time_ns()
        for position in range(start, start + batch):
            read(numbers[position], ids, position)
        times.append((time.thread_time_ns() - begin) / batch / 1e3)
    return times


def _cold(path: Path, hasher: NgramHasher, tokens: np.ndarray) -> dict:
    """Wall time of reads past the page cache, no row cache in front."""
    if not can_be_cold(path):
        return {"left out": STAYS}
    ids = np.concatenate([hasher.row_ids(tokens[: PREFILL * 6], x) for x in LAYERS], axis=1)
    with Table(path, access="direct", ram_limit=0) as table:
        figures = {
            "page_cache": resident_share(path),
            "access": table.access,
            "io_uring": table.stats().get("io_uring"),
            "token_us": spread(
                sample(lambda i: table.gather(ids[i % len(ids)]), 400, 1, 1e6, clock=time.perf_counter_ns)
            ),
        }
        chunks = ids[: PREFILL * 6].reshape(6, -1)
        figures["prefill_ms"] = spread(sample(lambda i: table.gather(chunks[i]), 6, 1, 1e3, clock=time.perf_counter_ns))
    return figures


def sample(
    call: Callable[[int], object],
    n: int,
    per_call: int,
    unit: float,
    batch: int = 1,
    clock: Callable[[], int] = time.thread_time_ns,
) -> list[float]:
    """Times of call(0) .. call(n - 1), `batch` of them together, divided by per_call, in seconds * unit."""
    times = []
    for start in range(0, n, batch):
        begin = clock()
        for i in range(start, start + batch):
            call(i)
        times.append((clock() - begin) / (batch * per_call) * unit / 1e9)
    return times


def spread(times: list[float]) -> dict[str, float]:
    """Example: [1.0, 2.0, 9.0] -> {"min": 1.0, "median": 2.0}."""
    return {"min": round(min(times), 3), "median": round(median(times), 3)}


def machine() -> dict:
    """What a figure must be read with."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "features": [name for name, used in _native.cpu_features().items() if used],
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
    }


def print_figures(figures: dict) -> None:
    """The figures as lines of text."""

    def line(name: str, unit: str, value: dict) -> None:
        print(f"{name:<44}{value['min']:>10.2f}{value['median']:>10.2f}  {unit}")

    table, host = figures["table"], figures["machine"]
    print(f"{table['rows']} rows of {table['dim']} {table['encoding']} values, {format_size(table['bytes'])}")
    print(f"{host['cpu']}, {host['cpus']} CPUs, {'+'.join(host['features'])}")
    print(f"kernel {host['kernel']}, load {host['load']}")
    print(f"{'':<44}{'min':>10}{'median':>10}")
    line("hash one token (of 512)", "ns", figures["hash_ns_per_token"])
    if "resident_us_per_token" in figures:
        line(f"resident: hash, gather, decode {ROWS_A_TOKEN} rows", "µs", figures["resident_us_per_token"])
        line(f"resident: prefill of {PREFILL} tokens", "ms", figures["resident_prefill_ms"])
        for rows, value in figures["growth_us_per_token"].items():
            line(f"  one token from {rows} rows", "µs", value)
        if figures["page_cache"] is not None:
            print(f"page cache: {figures['page_cache']:.1%} of the table")
    else:
        print(f"resident: {figures['resident']}")
    cold = figures["cold"]
    if "left out" in cold:
        print(f"reads from disk: left out, {cold['left out']}")
    else:
        way = "io_uring" if cold["io_uring"] else "threads" if cold["access"] == "direct" else cold["access"]
        line(f"cold ({way}): one token", "µs", cold["token_us"])
        line(f"cold ({way}): prefill of {PREFILL} tokens", "ms", cold["prefill_ms"])
        if cold["page_cache"] is not None:
            print(f"page cache: {cold['page_cache']:.1%} of the table")
