"""This server with clients that read a byte a second, and with connections that say nothing: how long another client
waits, and what memory it takes. The pocket model; every slow client asks for a long streamed answer.
"""

import json
import os
import selectors
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

import numpy as np

from engram_local.commands.bench_table import machine
from engram_local.errors import EngramError
from engram_local.machine import physical_cores
from engram_local.model_folder import POCKET
from engram_local.tools.compare.serving import Contender, own_server, post, send, write_figures

LIMIT_S = 240.0  # for all answers of the slow clients to be computed
BUFFER = 2048  # bytes that a slow client's socket takes ahead of it
SPARE_FILES = 64


def run(n_slow: int, n_silent: int, rounds: int, n_tokens: int, threads: int | None, json_file: str | None) -> dict:
    """Serve, connect, measure, print, write the figures. Returns them."""
    _allow_files(n_slow + n_silent)
    threads = threads or physical_cores()
    options = ["--queue", str(n_slow + 1), "--slots", "4"]
    with own_server(POCKET, "onnx", threads, options, memory=True) as server, ExitStack() as stack:
        _ask(server, n_tokens)
        figures = {"machine": machine(), "threads": threads, "slow": n_slow, "silent": n_silent, "tokens": n_tokens}
        before = figures["before"] = _state(server, rounds, n_tokens)
        silent = [stack.enter_context(socket.create_connection(server.address, timeout=60)) for _ in range(n_silent)]
        slow = _Readers(server, n_slow, n_tokens)
        stack.callback(slow.close)
        started = time.monotonic()
        while _busy(server):
            if time.monotonic() > started + LIMIT_S:
                raise EngramError(f"the slow clients' answers are not computed after {LIMIT_S:.0f} s; ask for fewer")
            time.sleep(0.05)
        figures["computed_s"] = time.monotonic() - started
        figures["beside"] = _state(server, rounds, n_tokens)
        figures["bytes_read"] = slow.n_read
        figures["still_open"] = sum(_is_open(x) for x in silent)
        slow.close()
        for connection in silent:
            connection.close()
        time.sleep(1.0)
        figures["after"] = _state(server, rounds, n_tokens)
    print(
        f"{figures['machine']}, {threads} threads; {n_slow} clients that read a byte a second, {n_silent} silent ones"
    )
    for name in ("before", "beside", "after"):
        x = figures[name]
        waits = [1e3 * y for y in x["answer_s"]]
        memory = f"{x['resident_bytes'] / 2**20:.0f} MiB" if x["resident_bytes"] else "unknown"
        spread = f"{median(waits):.0f} ms ({min(waits):.0f}-{max(waits):.0f})"
        print(f"{name:7} another client's {n_tokens} tokens {spread}, resident memory {memory}")
    more = figures["beside"]["resident_bytes"] - before["resident_bytes"]
    print(f"the slow clients' {n_slow * n_tokens:,} tokens were computed after {figures['computed_s']:.1f} s")
    held = f"{more / max(1, n_slow) / 1024:.0f} KiB"
    print(f"they read {figures['bytes_read']:,} bytes; the server held {held} more for each of them")
    write_figures(figures, json_file)
    return figures


def _state(server: Contender, rounds: int, n_tokens: int) -> dict:
    return {"answer_s": [_ask(server, n_tokens) for _ in range(rounds)], "resident_bytes": _resident(server.pid)}


def _ask(server: Contender, n_tokens: int) -> float:
    """Seconds that a whole answer takes."""
    started = time.perf_counter()
    post(server.address, _body(n_tokens))
    return time.perf_counter() - started


def _body(n_tokens: int) -> dict:
    ids = np.random.default_rng(0).integers(300, 4000, 8).tolist()
    return {"prompt": ids, "max_tokens": n_tokens, "temperature": 0, "logit_bias": {"4": -100}}


def _busy(server: Contender) -> bool:
    connection = send(server.address, "GET", "/health")
    health = json.loads(connection.getresponse().read())
    connection.close()
    return bool(health["slots_busy"] or health["waiting"])


def _resident(pid: int) -> int:
    """Bytes; 0 where the system does not tell in Linux's way."""
    path = Path(f"/proc/{pid}/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _allow_files(n: int) -> None:
    with suppress(ImportError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = n + SPARE_FILES
        if soft < wanted:
            if hard != resource.RLIM_INFINITY and hard < wanted:
                raise EngramError(f"{n} connections: this system allows {hard} open files (ulimit -Hn); ask for fewer")
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Readers:
    """Clients that have asked, and read a byte a second each."""

    def __init__(self, server: Contender, n: int, n_tokens: int):
        body = json.dumps(_body(n_tokens) | {"stream": True}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {server.address[0]}\r\nContent-Type: application/json\r\n"
        self.n_read = 0
        self._end = threading.Event()
        self._ready = selectors.DefaultSelector()
        for _ in range(n):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            connection.connect(server.address)
            connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            self._ready.register(connection, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._end.wait(1.0):
            for key, _ in self._ready.select(0):
                with suppress(OSError):
                    self.n_read += len(key.fileobj.recv(1))  # type: ignore[union-attr]

    def close(self) -> None:
        """All of them go."""
        if not self._end.is_set():
            self._end.set()
            self._thread.join()
            for key in list(self._ready.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._ready.close()
