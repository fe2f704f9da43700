"""A linked GGUF with an n-gram table of its own beside stock llama.cpp, which maps the table lazily: cold rows.

Both run the same random file (random_qwen4.py) in a process of their own and take turns, so that a busy machine
disturbs both alike. Where control groups can be made each has one: what it takes when the model is loaded and has
computed its first tokens, and a tenth of the table's size. Ours gets that tenth as its RAM limit. Tokens are random, so
that hardly a row comes twice. "rows" is what a call spends on hashing and on waiting for rows: of stock the time until
node ple_embd is computed, with which its graph begins; of ours what the session counts, for the rest of a prompt's rows
is read while its first tokens compute. "whole" is the call, "CPU" the time of the process's threads in it, in which the
turns of other processes do not count; with --threads 1 none of it is spent waiting for one another.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.commands.bench_table import machine
from engram_local.errors import EngramError
from engram_local.sizes import format_size
from engram_local.tables.page_cache import drop_pages, table_share
from engram_local.tables.table import read_layout
from engram_local.tools.compare.control_group import ControlGroup, control_group
from engram_local.tools.compare.random_qwen4 import make_random_qwen4
from engram_local.tools.link import link

N_PROMPT, N_DECODE = 512, 32
KINDS = ("stock", "ours")
PARTS = ("rows", "whole", "CPU")
NODE = "ple_embd"


def run(size: int, folder: str | None, keep: bool, rounds: int, threads: int | None, json_file: str | None) -> dict:
    """Make the model with a table of `size` bytes, measure, print, write the figures. Returns them."""
    parent = Path(folder or tempfile.gettempdir())
    gguf, model = parent / f"engram_local_qwen4_{size}.gguf", parent / f"engram_local_qwen4_{size}"
    try:
        if not gguf.exists():
            make_random_qwen4(gguf, size)
        shutil.rmtree(model, ignore_errors=True)
        link(gguf, model)
        figures = measure(gguf, model, rounds, threads or os.cpu_count() or 1)
    finally:
        shutil.rmtree(model, ignore_errors=True)
        if not keep:
            gguf.unlink(missing_ok=True)
    print_figures(figures)
    if json_file:
        Path(json_file + ".partial").write_text(json.dumps(figures, indent=1) + "\n")
        os.replace(json_file + ".partial", json_file)
    return figures


def measure(gguf: Path, model: Path, rounds: int, threads: int) -> dict:
    """Seconds of each kind: PARTS of single tokens and of prompts; memory at the end."""
    layout = read_layout(model / "tables" / "table.link.json")
    limit = layout.data_bytes // 10
    times: dict[str, dict[str, list[float]]] = {
        kind: {f"{what} {part}": [] for what in ("token", "prompt") for part in PARTS} for kind in KINDS
    }
    result: dict[str, Any] = {"machine": machine(), "threads": threads, "table_bytes": layout.data_bytes}
    result |= {"limit": limit, "rounds": rounds, "times": times, "memory": {}}
    drop_pages(gguf)
    with ExitStack() as stack:
        groups = {kind: stack.enter_context(control_group(f"engram_local_{kind}")) for kind in KINDS}
        children = {
            kind: stack.enter_context(_Child(kind, gguf, model, limit, threads, groups[kind])) for kind in KINDS
        }
        for kind, child in children.items():
            child.ask("prompt", N_PROMPT, 0)
            group = groups[kind]
            if group is not None:
                result["memory"][kind] = {"without": group.n_bytes}
                group.limit(group.n_bytes + limit)
        for i in range(1, rounds + 1):
            for what, n, count in (("prompt", N_PROMPT, 1), ("token", 1, N_DECODE)):
                for j in range(count):
                    order = KINDS if (i + j) % 2 else KINDS[::-1]
                    for kind in order:
                        for part, seconds in zip(PARTS, children[kind].ask(what, n, 1000 * i + j), strict=True):
                            times[kind][f"{what} {part}"].append(seconds)
        for kind, child in children.items():
            group = groups[kind]
            found = result["memory"].setdefault(kind, {})
            found["all"] = None if group is None else group.n_bytes
            if kind == "stock":
                found["table"] = int(child.ask("share", 0, 0)[0] * layout.data_bytes)
            else:
                found["table"] = int(child.ask("share", 0, 0)[0])
    for name, of in (("ratio", np.median), ("ratio_of_p5", lambda x: np.percentile(x, 5))):
        result[name] = {what: float(of(times["ours"][what]) / of(times["stock"][what])) for what in times["ours"]}
    return result


class _Child:
    """A process that computes what it is asked."""

    def __init__(self, kind: str, gguf: Path, model: Path, limit: int, threads: int, group: ControlGroup | None):
        command = [sys.executable, "-m", __spec__.name, kind, str(gguf), str(model), str(limit), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if group is not None:
            group.add(self._process.pid)

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, what: str, n: int, seed: int) -> list[float]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(what, n, seed, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise EngramError("a measured process ended; what it said stands above")
        return json.loads(answer)


def main(argv: list[str]) -> None:
    """The measured process: reads "what n seed" from stdin, answers with seconds."""
    kind, gguf, model, limit, threads = argv
    contender = (_Stock if kind == "stock" else _Ours)(Path(gguf), Path(model), int(limit), int(threads))
    for line in sys.stdin:
        what, n, seed = line.split()
        if what == "share":
            answer = [contender.table_bytes()]
        else:
            tokens = np.random.default_rng(int(seed)).integers(300, 1900, int(n))
            if what == "prompt":
                contender.begin()
            started, cpu = time.perf_counter(), time.process_time()
            contender.forward(tokens)
            ended, cpu = time.perf_counter(), time.process_time() - cpu
            answer = [contender.rows_s(started), ended - started, cpu]
        print(json.dumps(answer), flush=True)


class _Stock:
    """llama.cpp as it is, told to map the table lazily."""

    def __init__(self, gguf: Path, model: Path, limit: int, threads: int):
        from engram_local.backends.layer_hook import NodeHook
        from engram_local.backends.llama_context import LlamaContext
        from engram_local.backends.llama_library import llama, load_model

        self._layout = read_layout(model / "tables" / "table.link.json")
        self._rows_at = 0.0
        stock = self

        class Hook(NodeHook):
            def _on_node(self, index: int) -> None:
                stock._rows_at = time.perf_counter()

        self._hook = Hook([NODE], gguf, "qwen4exp")
        params = {"n_threads": threads, "n_threads_batch": threads, "flash_attn_type": 0, "op_offload": False}
        native = load_model(gguf, lazy=True)
        self._n_vocab = llama().llama_vocab_n_tokens(llama().llama_model_get_vocab(native))
        self._context = LlamaContext(native, gguf, 1, N_PROMPT, params | self._hook.context_params())
        self._context.reserve(4096, [])
        self._length = 0

    def begin(self) -> None:
        self._context.cut(0, 0)
        self._length = 0

    def forward(self, tokens: np.ndarray) -> None:
        self._context.fill([(0, self._length, tokens, "last")])
        self._hook.run([], len(tokens), self._context.decode)
        self._context.logits(len(tokens) - 1, 1, self._n_vocab)
        self._length += len(tokens)

    def rows_s(self, started: float) -> float:
        """Seconds of the last call."""
        return self._rows_at - started

    def table_bytes(self) -> float:
        """Share of the table in memory."""
        return table_share(self._layout)[0]


class _Ours:
    """This package, on the linked folder."""

    def __init__(self, gguf: Path, model: Path, limit: int, threads: int):
        import engram_local

        self._model = engram_local.load(model, backend="gguf", threads=threads, ram_limit=limit, context_length=4096)
        self._session = self._model.session()
        self._before = 0.0  # seconds of this session's calls but the last

    def begin(self) -> None:
        self._session.close()
        self._session, self._before = self._model.session(), 0.0

    def forward(self, tokens: np.ndarray) -> None:
        self._session.forward(tokens)

    def rows_s(self, started: float) -> float:
        """Seconds of the last call."""
        before, self._before = self._before, self._session.stats.lookup_s
        return self._before - before

    def table_bytes(self) -> float:
        """Of the cache of hot rows: the reads pass the page cache by."""
        stats = [x.stats() for x in self._model.tables.values()]
        if any(x["access"] != "direct" or x["buffered"] for x in stats):
            raise EngramError(f"rows are not read directly: {stats[0]['why']}; choose another --folder")
        return float(sum(x["cache"]["bytes"] for x in stats))


def print_figures(figures: dict) -> None:
    """The figures as lines of text."""
    host, times, memory = figures["machine"], figures["times"], figures["memory"]
    print(f"{host['cpu']}, {host['cpus']} CPUs, {figures['threads']} threads, kernel {host['kernel']}")
    print(f"load {host['load']}; table {format_size(figures['table_bytes'])}; {figures['rounds']} rounds, taking turns")
    if memory["stock"]["all"] is None:
        print("no control group could be made: neither is held to the limit by the system")
    else:
        print(f"each in a control group of what it takes without the table and {format_size(figures['limit'])}")
    print(f"{'ms, median (p5)':<24}{'stock, lazy mmap':>20}{'engram_local':>20}{'ratio':>8}{'of p5':>8}")
    for what, ratio in figures["ratio"].items():
        cells = [f"{1e3 * np.median(x):.2f} ({1e3 * np.percentile(x, 5):.2f})" for x in (times[k][what] for k in KINDS)]
        print(f"cold {what:<19}{cells[0]:>20}{cells[1]:>20}{ratio:>8.2f}{figures['ratio_of_p5'][what]:>8.2f}")
    for kind in KINDS:
        found = memory[kind]
        what = "pages of the table in memory" if kind == "stock" else "cache of hot rows"
        group = ""
        if found["all"] is not None:
            grown = found["all"] - found["without"]
            group = f"; its control group grew by {format_size(grown)} to {format_size(found['all'])}"
        print(f"{kind}: {what} {format_size(found['table'])}{group}")


if __name__ == "__main__":
    main(sys.argv[1:])
