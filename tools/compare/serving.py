"""This server beside `python -m llama_cpp.server`: tokens per second of 1, 2 and 4 streams, and what a long prompt does
to an answer that runs.

One random int4 backbone of 0.65 B parameters, without memory, as ONNX and as GGUF; the same GGUF in both programs. The
programs take turns within each round.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from engram_local.commands.bench_table import machine
from engram_local.errors import EngramError
from engram_local.graph_names import GGUF_FILE
from engram_local.machine import physical_cores
from engram_local.tables.budget import LEAST_READ_BYTES
from engram_local.tools.compare.plain_model import make_plain_model
from engram_local.tools.compare.random_backbone import CONTEXT, VOCAB, make_random_backbone
from engram_local.tools.compare.random_model import make_random_model

STREAMS = (1, 2, 4)
LONG = 1000  # tokens of the prompt that comes while an answer runs
PAUSE_S = 0.3
START_S = 300.0


@dataclass
class Contender:
    """A server that runs, and what was measured of it."""

    name: str
    address: tuple[str, int]
    pid: int
    total_tok_s: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in STREAMS})
    gaps: list[dict[str, float]] = field(default_factory=list)


def run(
    folder: str | None, keep: bool, rounds: int, n_tokens: int, threads: int | None, blocks: int, json_file: str | None
) -> dict:
    """Make the model, serve it, measure, print, write the figures. Returns them."""
    threads = threads or physical_cores()
    path = Path(folder or tempfile.gettempdir()) / f"engram_local_serving_{blocks}"
    try:
        if not path.exists():
            _make_model(path, blocks)
        figures = measure(path, rounds, n_tokens, threads)
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
    print_figures(figures)
    write_figures(figures, json_file)
    return figures


def measure(path: Path, rounds: int, n_tokens: int, threads: int) -> dict:
    """Figures of every round; one more, the first, is not counted."""
    left_out = []
    with ExitStack() as stack:
        contenders = [stack.enter_context(own_server(path, backend, threads)) for backend in ("onnx", "gguf")]
        if find_spec("fastapi") and find_spec("sse_starlette"):
            contenders.append(stack.enter_context(_llama_cpp(path, threads)))
        else:
            left_out.append("llama_cpp.server: pip install 'llama-cpp-python[server]'")
        for i in range(-1, rounds):
            for n in STREAMS:
                for contender in contenders:
                    time.sleep(PAUSE_S)
                    rate = total_rate(contender.address, n, n_tokens, seed=i + 1)
                    if i >= 0:
                        contender.total_tok_s[n].append(rate)
            for contender in contenders[:2]:  # the other one answers one request after another
                time.sleep(PAUSE_S)
                gap = gap_beside_a_prompt(contender.address, n_tokens, seed=i + 1)
                if i >= 0:
                    contender.gaps.append(gap)
    return {
        "machine": machine(),
        "threads": threads,
        "rounds": rounds,
        "tokens": n_tokens,
        "contenders": [{"name": x.name, "total_tok_s": x.total_tok_s, "gaps": x.gaps} for x in contenders],
        "left_out": left_out,
    }


def total_rate(address: tuple[str, int], n_streams: int, n_tokens: int, seed: int, *, as_text: bool = True) -> float:
    """Tokens per second of n_streams answers of n_tokens each, asked for at once; their short prompts included."""
    rng = np.random.default_rng(seed)
    bodies = [_body(rng.integers(300, VOCAB, 8).tolist(), n_tokens, as_text) for _ in range(n_streams)]
    done: list[int] = []
    failed: list[BaseException] = []

    def ask(body: dict[str, Any]) -> None:
        try:
            done.append(post(address, body)["usage"]["completion_tokens"])
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=ask, args=(x,)) for x in bodies]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    if failed:
        raise failed[0]
    if sum(done) != n_streams * n_tokens:
        raise EngramError(f"{address}: {sum(done)} tokens came, not {n_streams * n_tokens}")
    return n_streams * n_tokens / seconds


def gap_beside_a_prompt(address: tuple[str, int], n_tokens: int, seed: int) -> dict[str, float]:
    """A running answer while another request's prompt of LONG tokens is read: {"median_s": between two of its tokens
    before and after, as many of each, for a long context takes longer; "longest_s", "typical_s" (median) between two
    while; "prompt_s": until the other's first token}."""
    rng = np.random.default_rng(seed)
    answer = _body(rng.integers(300, VOCAB, 8).tolist(), CONTEXT // 2) | {"stream": True}
    other = _body(rng.integers(300, VOCAB, LONG).tolist(), 1)
    connection = send(address, "POST", "/v1/completions", answer)
    response = connection.getresponse()
    times: list[float] = []
    read: list[float] = []

    def ask() -> None:
        read.append(time.perf_counter())
        post(address, other)
        read.append(time.perf_counter())

    worker = threading.Thread(target=ask)
    n_after = 0
    while n_after < n_tokens:
        line = response.readline()
        if not line:
            raise EngramError(f"{address}: the answer ended before the prompt beside it was read")
        if not line.startswith(b"data: {"):
            continue
        times.append(time.perf_counter())
        if len(times) == n_tokens:
            worker.start()
        n_after += len(read) == 2
    connection.close()  # and so the rest is not computed
    worker.join()
    ends, gaps = np.array(times[1:]), np.diff(times)
    is_beside = (ends >= read[0]) & (ends <= read[1])
    during = gaps[is_beside]
    return {
        "median_s": float(np.median(gaps[~is_beside])),
        "longest_s": float(during.max()),
        "typical_s": float(np.median(during)),
        "prompt_s": read[1] - read[0],
    }


def run_cold(
    folder: str | None, keep: bool, rounds: int, n_tokens: int, threads: int | None, size: int, json_file: str | None
) -> dict:
    """The most streams of a model with tables of `size` bytes, resident beside cold under a RAM limit of a tenth."""
    threads = threads or physical_cores()
    path = Path(folder or tempfile.gettempdir()) / f"engram_local_random_{size}"
    limit = max(size // 10, LEAST_READ_BYTES)
    kinds = {
        "resident": ["--table-access", "resident"],
        "cold": ["--table-access", "direct", "--ram-limit", str(limit)],
    }
    try:
        if not path.exists():
            make_random_model(path, size)
        with ExitStack() as stack:
            servers = [stack.enter_context(own_server(path, "onnx", threads, x, memory=True)) for x in kinds.values()]
            rates: dict[str, list[float]] = {name: [] for name in kinds}
            for i in range(-1, rounds):
                for name, server in zip(kinds, servers, strict=True):
                    time.sleep(PAUSE_S)
                    rate = total_rate(server.address, max(STREAMS), n_tokens, seed=i + 1, as_text=False)
                    if i >= 0:
                        rates[name].append(rate)
    finally:
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
    ratio = median(cold / resident for cold, resident in zip(rates["cold"], rates["resident"], strict=True))
    figures = {"machine": machine(), "threads": threads, "table_bytes": size, "ram_limit": limit}
    figures |= {"total_tok_s": rates, "ratio": ratio}
    print(f"{max(STREAMS)} at once, tok/s: resident {_spread(rates['resident'])}, cold {_spread(rates['cold'])}")
    print(f"cold to resident: {ratio:.3f} (median of {rounds} rounds, taken in turns)")
    write_figures(figures, json_file)
    return figures


def print_figures(figures: dict) -> None:
    """The figures side by side."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, width=120)
    console.print(f"{figures['machine']}, {figures['threads']} threads; {figures['tokens']} tokens an answer")
    console.print(f"median (lowest-highest) of {figures['rounds']} rounds, taken in turns")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("server", *(f"{n} at once, tok/s" for n in STREAMS), "4 to 1", "gap beside a prompt"):
        table.add_column(name, justify="left" if name == "server" else "right")
    for x in figures["contenders"]:
        rates = {int(n): values for n, values in x["total_tok_s"].items()}
        ratio = median(b / a for a, b in zip(rates[1], rates[4], strict=True))
        longest = [y["longest_s"] / y["median_s"] for y in x["gaps"]]
        gap = f"{median(longest):.1f} x (at most {max(longest):.1f})" if longest else ""
        table.add_row(x["name"], *(_spread(rates[n]) for n in STREAMS), f"{ratio:.2f}", gap)
    console.print(table)
    for reason in figures["left_out"]:
        console.print(f"left out: {reason}")
    console.print(f"gap: longest time between two tokens while a prompt of {LONG} is read, in medians without")


def write_figures(figures: dict, json_file: str | None) -> None:
    """As JSON, where a file is named."""
    if json_file:
        Path(json_file + ".partial").write_text(json.dumps(figures, indent=1) + "\n")
        os.replace(json_file + ".partial", json_file)


def _spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _make_model(path: Path, blocks: int) -> None:
    with tempfile.TemporaryDirectory() as base:
        make_random_backbone(Path(base), n_blocks=blocks)
        make_plain_model(Path(base), path, ("onnx", "gguf"), "int4", np.zeros(0, np.int64))


@contextmanager
def own_server(
    path: Path, backend: str, threads: int, options: Sequence[str] = (), memory: bool = False
) -> Iterator[Contender]:
    """`engram-local serve` of a model folder, as long as the block runs."""
    command = [sys.executable, "-m", "engram_local", "serve", str(path), "--backend", backend, "--port", "0"]
    command += ["--threads", str(threads), "--slots", str(max(STREAMS)), "--no-page"]
    command += [*options, *([] if memory else ["--no-memory"])]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines: list[str] = []
        while not (found := re.search(r" at http://(\S+):(\d+)", lines[-1] if lines else "")):
            line = process.stderr.readline()
            if not line:
                raise EngramError(f"engram-local serve did not start: {''.join(lines)[-300:]}")
            lines.append(line)
        yield Contender(f"engram_local {backend}", (found[1], int(found[2])), process.pid)
    finally:
        _end(process)


@contextmanager
def _llama_cpp(path: Path, threads: int) -> Iterator[Contender]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path / GGUF_FILE), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--n_ctx", str(CONTEXT), "--verbose", "false", "--interrupt_requests", "false"]
    command += ["--n_threads", str(threads), "--n_threads_batch", str(threads)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            end = time.monotonic() + START_S
            while not _answers(("127.0.0.1", port)):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise EngramError(f"llama_cpp.server did not start: {log.read()[-300:].decode(errors='replace')}")
                time.sleep(0.2)
            yield Contender("llama_cpp.server", ("127.0.0.1", port), process.pid)
        finally:
            _end(process)


def _end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(address: tuple[str, int]) -> bool:
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", "/v1/models")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _body(ids: list[int], n_tokens: int, as_text: bool = True) -> dict[str, Any]:
    """A completion that does not end by itself: token 0 is the end."""
    prompt = _text(ids) if as_text else ids
    return {"prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "logit_bias": {"0": -100}}


def _text(ids: list[int]) -> str:
    """A text of as many tokens: three letters and a space make two."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ("".join(letters[(i // 26**k) % 26] for k in range(3)) for i in ids[: (len(ids) + 1) // 2])
    return " ".join(words)


def send(
    address: tuple[str, int], method: str, path: str, body: dict[str, Any] | None = None
) -> http.client.HTTPConnection:
    """A connection on which the request was sent."""
    connection = http.client.HTTPConnection(*address, timeout=600)
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
    return connection


def post(address: tuple[str, int], body: dict[str, Any]) -> dict[str, Any]:
    """The answer of a completion. Raises EngramError."""
    connection = send(address, "POST", "/v1/completions", body)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status != 200:
        raise EngramError(f"{address}: answers {response.status}: {text[:200].decode(errors='replace')}")
    return json.loads(text)
