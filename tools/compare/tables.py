"""Table lookups beside other software: cold and resident, one token and a prefill, random ids and those of real text.

All contenders read the same rows of the same generated int8 table and take turns within each round. A token reads 48
rows. Times are wall times. Cold: the file's pages are dropped from the page cache before each turn. A contender whose
package is missing is left out, and named. What each one does with a row is said in its name: EngramDB and the page
toucher only fetch bytes, the others give float32.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from engram_local.commands.bench_table import LAYERS, PREFILL, ROWS_A_TOKEN, machine, make_hasher, make_table
from engram_local.machine import available_bytes
from engram_local.sizes import format_size
from engram_local.tables import file as table_file
from engram_local.tables.budget import MOST_READ_BYTES
from engram_local.tables.encodings import row_bytes
from engram_local.tables.page_cache import drop_pages, resident_share
from engram_local.tools.compare.table_contenders import COLD, RESIDENT, Gather, Own, contenders
from engram_local.tools.compare.table_text import real_text

DIM = 256
BATCHES = (1, 8, 48, 192, 768, 3072, 12288, 24576)
GROWTH = (100_000, 1_000_000, 10_000_000, 30_000_000)
FIO_DEPTHS = (1, 16, 64)
TEXT_CHUNKS, TEXT_WINDOWS, TEXT_WINDOW = 30, 10, 500  # measured, behind the half that fills the cache
CACHE_SHARE = 0.05  # of the table, that the cache may hold
STORE = "EngramDB Store.fetch (bytes)"


def run(size: int, folder: str | None, keep: bool, rounds: int, json_file: str | None, plot_file: str | None) -> dict:
    """Generate the table, measure, print, write the figures. Returns them."""
    place = Path(folder or tempfile.gettempdir())
    path = place / f"engram_local_compare_{size}.safetensors"
    shards = place / f"engram_local_compare_{size}_shards"
    try:
        n_rows = max(size // row_bytes("int8", DIM), 100_000)
        if not path.exists():
            make_table(path, n_rows, DIM)
        figures = measure(path, shards, rounds)
    finally:
        if not keep:
            path.unlink(missing_ok=True)
            shutil.rmtree(shards, ignore_errors=True)
    print_figures(figures)
    if json_file:
        table = json.dumps(figures, indent=1) + "\n"
        Path(json_file + ".partial").write_text(table)
        os.replace(json_file + ".partial", json_file)
    if plot_file:
        from engram_local.tools.compare.table_plot import plot

        plot(figures, plot_file)
    return figures


def measure(path: Path, shards: Path, rounds: int) -> dict:
    """Every figure: {"cold" | "resident": {contender: {batch: {"min", "median"}}}, ...}; seconds."""
    header = table_file.read_header(path)
    figures = {
        "table": {"rows": header.n_rows, "dim": header.dim, "encoding": header.encoding, "bytes": header.data_bytes},
        "machine": machine() | {"disk": _disk(path)},
        "rounds": rounds,
        "missing": {},
    }
    rng, iops = np.random.default_rng(0), {depth: [] for depth in FIO_DEPTHS}
    with contenders(COLD, path, shards, header, figures["missing"]) as (gathers, files):
        figures["cold"], figures["page_cache_cold"] = _turns(
            gathers, header.n_rows, rng, rounds, files, cold=True, in_turn=lambda: _fio(path, iops, figures["missing"])
        )
    figures["fio_iops"] = {depth: float(np.median(x)) for depth, x in iops.items() if x}
    if header.data_bytes < 0.6 * available_bytes():
        with contenders(RESIDENT, path, shards, header, figures["missing"]) as (gathers, files):
            for file in files:
                _read_through(file)
            for gather in gathers.values():  # map what is in memory, so that no first touch is counted
                gather.populate()
            figures["resident"], figures["page_cache_resident"] = _turns(
                gathers, header.n_rows, rng, rounds, files, False
            )
            figures["growth"] = _growth(gathers, header.n_rows, rng)
    else:
        figures["missing"]["resident"] = f"only {format_size(available_bytes())} of memory are free"
    figures["text"] = _text(path, shards, header, figures["missing"])
    return figures


def _turns(
    gathers: dict[str, Gather], n_rows: int, rng, rounds: int, files: list[Path], cold: bool, in_turn=lambda: None
) -> tuple[dict, float]:
    """Times of each contender and batch size, and the page-cache share of the table before the turns (their median)."""
    times = {name: {n: [] for n in BATCHES} for name in gathers}
    shares = []
    for _ in range(rounds):
        in_turn()
        for n in BATCHES:
            repeats = max(1, min(40 if cold else 200, (20_000 if cold else 100_000) // n))
            for name, gather in gathers.items():
                if cold:
                    gather.chill()
                    for file in files:
                        drop_pages(file)
                ids = [rng.integers(0, n_rows, n) for _ in range(repeats)]
                if n == 48:
                    shares.append(resident_share(files[0]))
                for batch in ids:
                    begin = time.perf_counter()
                    gather(batch)
                    times[name][n].append(time.perf_counter() - begin)
    return {name: {n: _spread(x) for n, x in by_n.items()} for name, by_n in times.items()}, float(np.median(shares))


def _growth(gathers: dict[str, Gather], n_rows: int, rng) -> dict:
    """Resident seconds of 48 rows among the first N of the table, for growing N."""
    result = {name: {} for name in gathers}
    for n in (*(n for n in GROWTH if n < n_rows), n_rows):
        for name, gather in gathers.items():
            ids = rng.integers(0, n, (2000, ROWS_A_TOKEN))
            times = []
            for batch in ids:
                begin = time.perf_counter()
                gather(batch)
                times.append(time.perf_counter() - begin)
            result[name][n] = _spread(times[1000:])
    return result


def _text(path: Path, shards: Path, header: table_file.TableHeader, missing: dict) -> dict:
    """Ids of real text: how many rows repeat, and what direct reads with a cache of a twentieth of the table cost.

    EngramDB's cache is the page cache: its file's share of it swings between nothing and twice that twentieth.
    """
    tokens, source = real_text()
    hasher = make_hasher(header.n_rows, DIM)
    ids = np.concatenate([hasher.row_ids(tokens, x) for x in LAYERS], axis=1)
    chunks = [ids[i : i + PREFILL] for i in range(0, len(ids) - PREFILL, PREFILL)]
    half = len(chunks) // 2
    prefills, rest = chunks[half : half + TEXT_CHUNKS], ids[(half + TEXT_CHUNKS) * PREFILL :]
    windows = [rest[i : i + TEXT_WINDOW] for i in np.linspace(0, len(rest) - TEXT_WINDOW, TEXT_WINDOWS, dtype=int)]
    result = {
        "source": source,
        "tokens": len(tokens),
        "distinct_share": float(len(np.unique(ids)) / ids.size),
        "distinct_share_in_a_chunk": float(np.mean([len(np.unique(c)) / c.size for c in chunks])),
    }
    cache_bytes = int(header.data_bytes * CACHE_SHARE)
    makers = {
        "no cache": lambda *_: Own(path, "direct"),
        "5 % cache": lambda *_: Own(path, "direct", ram_limit=cache_bytes + MOST_READ_BYTES),
        STORE: COLD[STORE],
    }
    with contenders(makers, path, shards, header, missing) as (gathers, files):
        table = gathers["5 % cache"].table
        for chunk in chunks[:half]:  # the first half of the text fills the cache
            table.gather(chunk)
        for file in files:
            drop_pages(file)
        if STORE in gathers:
            for chunk in reversed(chunks[:half]):  # the last of what the cache has seen
                if _share(files[-1]) >= CACHE_SHARE:
                    break
                gathers[STORE](chunk.reshape(-1))
        before = table.stats()["cache"]
        times = {name: {"prefill": [], "token": []} for name in gathers}
        for what, batches in (("prefill", [[x] for x in prefills]), ("token", windows)):
            for batch in batches:
                for name, gather in gathers.items():
                    for i, rows in enumerate(batch):
                        begin = time.perf_counter()
                        gather(rows.reshape(-1))
                        times[name][what].append(time.perf_counter() - begin)
                        if name == STORE and i % 100 == 0 and _share(files[-1]) > 2 * CACHE_SHARE:
                            drop_pages(files[-1])
        after = table.stats()["cache"]
    result["times"] = {
        name: {what: _spread(x) | {"mean": float(np.mean(x))} for what, x in by_what.items()}
        for name, by_what in times.items()
    }
    if before is not None:  # else this file system has no direct reads
        hits, misses = after["hits"] - before["hits"], after["misses"] - before["misses"]
        result |= {"cache_bytes": after["bytes"], "hit_rate": hits / max(1, hits + misses)}
    return result


def _share(path: Path) -> float:
    """Of the file in the page cache; all of it where the system does not tell."""
    share = resident_share(path)
    return 1.0 if share is None else share


def _fio(path: Path, iops: dict[int, list[float]], missing: dict) -> None:
    """4 KiB random reads a second past the page cache, by queue depth: the disk's own speed. Appends to iops."""
    if not shutil.which("fio"):
        missing["fio"] = "fio is not installed"
        return
    for depth, found in iops.items():
        command = ["fio", "--name=floor", f"--filename={path}", "--rw=randread", "--bs=4k", "--direct=1", "--readonly"]
        command += [f"--iodepth={depth}", "--runtime=2", "--time_based", "--ioengine=io_uring", "--output-format=json"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            missing["fio"] = done.stderr.strip().splitlines()[-1][:100] if done.stderr.strip() else "fio failed"
            return
        found.append(json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]["read"]["iops"])


def _read_through(path: Path) -> None:
    buffer = bytearray(16 << 20)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _disk(path: Path) -> str:
    """Device and file system that hold the path."""
    try:
        done = subprocess.run(["df", "--output=source,fstype", str(path)], capture_output=True, text=True, check=True)
        return " ".join(done.stdout.splitlines()[1].split())
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"min": min(seconds), "median": float(np.median(seconds))}


def print_figures(figures: dict) -> None:
    """The figures as lines of text."""
    table, host = figures["table"], figures["machine"]
    print(f"{table['rows']} rows of {table['dim']} int8 values, {format_size(table['bytes'])}, on {host['disk']}")
    print(f"{host['cpu']}, {host['cpus']} CPUs, kernel {host['kernel']}, load {host['load']} at the start")
    for name, why in figures["missing"].items():
        print(f"left out: {name}: {why}")
    floor = figures["fio_iops"].get(64)
    for state in ("cold", "resident"):
        if state not in figures:
            continue
        share = figures[f"page_cache_{state}"]
        print(f"\n{state}: {share:.1%} of the table in the page cache; {figures['rounds']} rounds")
        print(f"{'':<38}{'48 rows: min':>14}{'median µs':>11}{'24,576 rows: min':>18}{'median ms':>11}{'rows/s':>10}")
        for name, by_n in figures[state].items():
            token, prefill = by_n[48], by_n[24576]
            rate = 24576 / prefill["median"]
            print(
                f"{name:<38}{token['min'] * 1e6:>14.1f}{token['median'] * 1e6:>11.1f}"
                f"{prefill['min'] * 1e3:>18.2f}{prefill['median'] * 1e3:>11.2f}{rate:>10.0f}"
            )
        if state == "cold":
            for depth, iops in figures["fio_iops"].items():
                name = f"fio, {iops:.0f} IOPS at depth {depth}"
                print(f"{name:<38}{'':>14}{48 / iops * 1e6:>11.1f}{'':>18}{24576 / iops * 1e3:>11.2f}{iops:>10.0f}")
    if floor:
        own = figures["cold"]["engram_local direct"]
        ratios = [own[n]["median"] * floor / n for n in (48, 24576)]
        print(
            f"engram_local direct takes {ratios[0]:.2f} (token) and {ratios[1]:.2f} (prefill) of what depth 64 implies"
        )
    if STORE in figures["cold"]:
        own, store = (figures["cold"][x] for x in ("engram_local direct", STORE))
        ratios = [store[n]["median"] / own[n]["median"] for n in (48, 24576)]
        print(f"{STORE} takes {ratios[0]:.1f} (token) and {ratios[1]:.1f} (prefill) times as long")
    text = figures["text"]
    print(f"\nreal text: {text['tokens']} tokens of {text['source']}")
    distinct = text["distinct_share"], text["distinct_share_in_a_chunk"]
    print(f"distinct rows: {distinct[0]:.1%} of all, {distinct[1]:.1%} within {PREFILL} tokens")
    if "hit_rate" in text:
        size = format_size(text["cache_bytes"])
        print(f"hit rate {text['hit_rate']:.1%} of a cache of {size}, filled by half of the text")
    print(f"{'':<38}{'one token: mean':>16}{'median µs':>11}{'512 tokens: mean':>18}{'median ms':>11}")
    for name, figure in text["times"].items():
        token, prefill = figure["token"], figure["prefill"]
        label = "EngramDB Store.fetch, page cache 5 %" if name == STORE else f"engram_local direct, {name}"
        print(
            f"{label:<38}{token['mean'] * 1e6:>16.0f}{token['median'] * 1e6:>11.0f}"
            f"{prefill['mean'] * 1e3:>18.1f}{prefill['median'] * 1e3:>11.1f}"
        )
    cached = text["times"]["5 % cache"]
    for name, figure in text["times"].items():
        if name != "5 % cache":
            ratios = [figure[what]["mean"] / cached[what]["mean"] for what in ("token", "prefill")]
            print(f"{name} takes {ratios[0]:.1f} (token) and {ratios[1]:.1f} (prefill) times as long as 5 % cache")
