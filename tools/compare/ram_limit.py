"""A whole model with its tables on disk under a RAM limit, beside the same model with them in memory.

The backbone is random, of a size that takes about 30 ms a token on two cores, or that of a model folder; its two tables
stand before blocks 1 and 14. "off": without the memory. "limited": a tenth of the tables' size, read past the page
cache, the cache of hot rows empty before each round; random tokens, so that hardly a row comes twice. The kinds take
turns at every token, one backbone serving all. The last line answers whether a graph of ONNX should be run in two
pieces, so that only the second waits for the late layer's rows.
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import engram_local
from engram_local.commands.bench_table import machine
from engram_local.errors import EngramError
from engram_local.model import Model
from engram_local.session import Session
from engram_local.sizes import format_size
from engram_local.tables.budget import LEAST_READ_BYTES
from engram_local.tables.model_tables import ModelTables, heads_of
from engram_local.tools.compare.random_model import make_random_model
from engram_local.tools.compare.split import time_split

N_PROMPT, N_DECODE = 512, 64


def run(
    size: int,
    folder: str | None,
    keep: bool,
    rounds: int,
    threads: int | None,
    json_file: str | None,
    model_folder: str | None = None,
    backend: str = "onnx",
    n_prompt: int = N_PROMPT,
) -> dict:
    """Measure `model_folder`, or a new model with tables of `size` bytes together; print, write the figures. Returns
    them."""
    path = Path(model_folder or Path(folder or tempfile.gettempdir()) / f"engram_local_random_{size}")
    try:
        if not path.exists():
            make_random_model(path, size)
        with engram_local.load(path, threads=threads, backend=backend, context_length=n_prompt + N_DECODE) as model:
            figures = measure(model, rounds, n_prompt)
            if backend == "onnx":
                figures["split"] = time_split(model)
    finally:
        if not (keep or model_folder):
            shutil.rmtree(path, ignore_errors=True)
    print_figures(figures)
    if json_file:
        Path(json_file + ".partial").write_text(json.dumps(figures, indent=1) + "\n")
        os.replace(json_file + ".partial", json_file)
    return figures


def measure(model: Model, rounds: int, n_prompt: int = N_PROMPT) -> dict:
    """Seconds of each kind, one entry a round; ratios of medians and of the best rounds."""
    ram_limit = max(sum(x.data_bytes for x in model.tables.values()) // 10, LEAST_READ_BYTES)
    tables = {"resident": _open_tables(model, None), "limited": _open_tables(model, ram_limit)}
    times: dict[str, dict[str, list[float]]] = {
        kind: {"prefill": [], "token": [], "lookup": []} for kind in ("off", *tables)
    }
    sessions = {"off": model.session(memory=False)} | {x: model.session(rows=rows) for x, rows in tables.items()}
    for i in range(-1, rounds):  # the first is not counted: it also makes room for keys and values
        tokens = np.random.default_rng(i + 1).integers(0, model.n_tokens, n_prompt + N_DECODE)
        tables["limited"].reopen("direct", ram_limit)
        for kind, seconds in _once(sessions, tokens).items():
            for what, value in seconds.items():
                if i >= 0:
                    times[kind][what].append(value)
    for session in sessions.values():
        session.close()
    limited = list(tables["limited"].values())
    result = {"machine": machine(), "model": str(model.folder.path), "backend": model.backend.name}
    result |= {"threads": model.threads, "table_bytes": sum(x.data_bytes for x in limited), "n_prompt": n_prompt}
    result |= {"ram_limit": ram_limit, "access": limited[0].access, "why": limited[0].why, "times": times}
    for name, of in (("ratio", np.median), ("ratio_of_best", np.min)):
        result[name] = {
            f"{kind} / {base}": {x: float(of(times[kind][x]) / of(times[base][x])) for x in ("prefill", "token")}
            for kind, base in (("limited", "resident"), ("resident", "off"), ("limited", "off"))
        }
    return result


def _open_tables(model: Model, limit: int | None) -> ModelTables:
    """The model's tables once more: in memory, or cold."""
    layouts = {layer_id: table.layout for layer_id, table in model.tables.items()}
    tables = ModelTables(layouts, heads_of(model.config), "resident" if limit is None else "direct", limit)
    for table in tables.values():
        table.warm()
        if limit is not None and table.stats()["buffered"]:  # these would be in the page cache
            raise EngramError(f"{table.path}: {table.why}; choose another --folder")
    return tables


def _once(sessions: dict[str, Session], tokens: np.ndarray) -> dict[str, dict[str, float]]:
    """Seconds of the prompt, of a generated token (mean), and of that hashing and waiting for rows."""
    n_prompt = len(tokens) - N_DECODE
    seconds = {}
    for kind, session in sessions.items():
        session.rewind(0)
        begin = time.perf_counter()
        session.forward(tokens[:n_prompt])
        seconds[kind] = {"prefill": time.perf_counter() - begin, "token": 0.0, "lookup": -session.stats.lookup_s}
    for token in tokens[n_prompt:]:
        for kind, session in sessions.items():
            begin = time.perf_counter()
            session.read_ahead([token])  # as generation does once a token is sampled
            session.forward([token]).argmax()
            seconds[kind]["token"] += (time.perf_counter() - begin) / N_DECODE
    for kind, session in sessions.items():
        seconds[kind]["lookup"] = (seconds[kind]["lookup"] + session.stats.lookup_s) / N_DECODE
    return seconds


def print_figures(figures: dict) -> None:
    """The figures as lines of text."""
    host, times = figures["machine"], figures["times"]
    print(f"{host['cpu']}, {host['cpus']} CPUs, kernel {host['kernel']}")
    print(f"{figures['model']}: {figures['backend']}, {figures['threads']} threads")
    print(
        f"load {host['load']}; tables {format_size(figures['table_bytes'])}; {len(times['resident']['token'])} rounds"
    )
    print(f"limited to {format_size(figures['ram_limit'])}: {figures['access']}: {figures['why']}")
    prefill = f"prefill {figures['n_prompt']}, ms"
    print(f"{'median':<10}{prefill:>18}{'token, ms':>12}{'of it lookup, ms':>18}")
    for kind, by_what in times.items():
        whole, token, waits = (1e3 * float(np.median(by_what[x])) for x in ("prefill", "token", "lookup"))
        print(f"{kind:<10}{whole:>18.1f}{token:>12.2f}{waits:>18.3f}")
    for name, ratios in (("medians", figures["ratio"]), ("the best rounds", figures["ratio_of_best"])):
        for kinds, ratio in ratios.items():
            print(f"{kinds}, {name}: prefill {ratio['prefill']:.3f}, token {ratio['token']:.3f}")
    split = {name: 1e3 * x for name, x in figures.get("split", {}).items()}
    if not split:
        return
    print(
        f"one graph {split['whole']:.2f} ms a token, cut before the late layer {split['pieces']:.2f} ms; "
        f"rows of both layers are there after {split['both']:.3f} ms, of the early one after {split['early']:.3f} ms"
    )
