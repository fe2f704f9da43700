"""Which of a folder's two backbones decodes faster on this machine, memory on: timed once, kept in the user's state
folder."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from engram_local.backends.base import Backend, ReadRows, Rows, Work
from engram_local.errors import EngramError
from engram_local.graph_names import ONNX_DATA_FILE, ONNX_FILE
from engram_local.machine import state_folder
from engram_local.model_folder import ModelFolder

WORTH_TIMING = 256 << 20  # bytes of backbone.onnx; a smaller one has answered before both are timed
ANSWER = 16  # tokens
FILE = "backends.json"


def faster(folder: ModelFolder, threads: int, open_one: Callable[[str], Backend]) -> tuple[str, str]:
    """("onnx" or "gguf", why). `open_one` loads a backbone of the folder by that name. What was timed before, with the
    same files, software and threads on this machine, is not timed again."""
    files = {x: y for x, y in folder.manifest["files"].items() if x.startswith(("backbone.", "engram_layer_"))}
    if folder.n_bytes(ONNX_FILE, ONNX_DATA_FILE) < WORTH_TIMING:
        return "onnx", "it starts sooner, and the backbone is small"
    import platform  # these take 30 ms, which no small model should wait for
    from importlib.metadata import PackageNotFoundError, version

    try:
        engine = version("llama-cpp-python")
    except PackageNotFoundError:
        return "onnx", "llama-cpp-python is not installed"
    what = [
        sorted((x, y["sha256"]) for x, y in files.items()),
        threads,
        platform.node(),
        version("onnxruntime"),
        engine,
    ]
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]
    known = _read()
    times = known.get(key)
    if not (isinstance(times, dict) and times.keys() == {"onnx", "gguf"}):
        # Zeros: what the layers cost does not depend on the values of rows.
        rows = ReadRows({x.layer_id: np.zeros((1, x.row_width), np.float32) for x in folder.engram.layers})
        times = {name: _time(name, open_one, rows) for name in ("onnx", "gguf")}
        _write({**known, key: times})
    name = min(times, key=lambda x: times[x])
    shown = ", ".join(f"{x} {'fails' if y == np.inf else f'{y:.3g} ms'}" for x, y in times.items())
    return name, f"a token was timed on this machine: {shown}"


def _time(name: str, open_one: Callable[[str], Backend], rows: Rows) -> float:
    """Milliseconds that a token of an answer takes, memory on; infinite where the backbone cannot be loaded or run."""
    try:
        backend = open_one(name)
    except EngramError:
        return float("inf")
    try:
        context, tokens = backend.context(True), np.arange(ANSWER) % backend.vocab_size
        times = []
        for token in tokens:
            started = time.perf_counter()
            backend.forward([Work(context, np.array([token]), rows)])
            times.append(1e3 * (time.perf_counter() - started))
        return round(float(np.median(times)), 3)
    except EngramError:  # a graph without the node where a layer enters
        return float("inf")
    finally:
        backend.close()


def _read() -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads((state_folder() / FILE).read_text())
        return known if isinstance(known, dict) else {}
    return {}


def _write(known: dict[str, Any]) -> None:
    """Nothing is lost where it cannot be written: it is timed again."""
    with suppress(OSError):
        folder = state_folder()
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{FILE}.{os.getpid()}.partial"
        partial.write_text(json.dumps(known, indent=1) + "\n")
        os.replace(partial, folder / FILE)
