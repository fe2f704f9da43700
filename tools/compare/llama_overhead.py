"""What the evaluation callback and the Engram layers cost beside stock llama-cpp-python, on one GGUF.

    python -m engram_local.tools.compare.llama_overhead MODEL_FOLDER [--threads 2] [--rounds 40]

Variants take turns, 16 tokens (decode, behind 64) or one chunk (prefill) each, so that a busy machine disturbs all
alike; each hands over the last logits as an array of its own. A figure is the median over the turns, with the middle
half of them in brackets. With one thread the clock is the thread's CPU time, in which other processes' turns do not
count, else the wall's.
  stock   llama_cpp.Llama, no callback
  off     this project's context with the memory off: its callback wants no node
  never   a callback that waits for a node that never comes
  on      all Engram layers (rows at hand: no table is read)
  alone   the layers' ONNX graphs by themselves, each run behind an untimed step of `off`, which leaves the CPU's caches
          as a step with the layers inside finds them
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.backends.base import ReadRows, Work
from engram_local.backends.engram_layer import LayerState
from engram_local.backends.gguf import GgufBackend
from engram_local.backends.layer_hook import LayerHook
from engram_local.errors import EngramError
from engram_local.model_folder import ModelFolder

PREFILL_TOKENS, PREFIX_TOKENS, BURST = 256, 64, 16


class NeverHook(LayerHook):
    """A callback that compares every node's name and finds none."""

    def __init__(self, hook: LayerHook, max_tokens: int):
        super().__init__(hook.layers, ["no such node"] * len(hook.layers), Path(), "", max_tokens)

    def run(self, columns: list, n: int, decode: Callable[[], None]) -> None:
        """Decode without a callback."""
        self._callback.arm()
        decode()
        if self._callback.finish() is None:
            raise EngramError("llama.cpp found the node that is not there")


class NeverBackend(GgufBackend):
    def _open(self, *arguments) -> None:
        super()._open(*arguments)
        self._hook = NeverHook(self._hook, self.max_chunk)


class Ours:
    """One context of a backend behind the two calls that are timed."""

    def __init__(self, backend: GgufBackend, memory: bool):
        self._backend, self._context = backend, backend.context(memory)

    def forward(self, tokens: np.ndarray, rows: Any, logits: Any) -> np.ndarray:
        return self._backend.forward([Work(self._context, tokens, rows, logits)])[0].logits

    def rewind(self, length: int) -> None:
        if self._context.length:
            self._context.rewind(length)


class FixedRows(ReadRows):
    """The same random rows for every chunk."""

    def __init__(self, backend: GgufBackend, n: int):
        rng = np.random.default_rng(0)
        super().__init__({x.layer_id: rng.standard_normal((n, x.row_width), np.float32) for x in backend.layers})


class Stock:
    """llama_cpp.Llama behind the two calls that are timed."""

    def __init__(self, path: Path, threads: int, n_ctx: int):
        import llama_cpp

        from engram_local.backends.llama_library import llama

        self._llama = llama_cpp.Llama(
            str(path), n_ctx=n_ctx, n_threads=threads, n_threads_batch=threads, verbose=False, logits_all=False
        )
        llama()  # Llama installs its own log callback

    def forward(self, tokens: np.ndarray, _rows: Any, _logits: Any) -> np.ndarray:
        self._llama.eval(tokens.tolist())
        return np.ctypeslib.as_array(self._llama._ctx.get_logits_ith(-1), (self._llama.n_vocab(),)).copy()

    def rewind(self, length: int) -> None:
        self._llama.n_tokens = length  # eval() removes the tail from the KV cache


class Alone:
    """Each layer's graph, run as the callback runs it, without llama.cpp."""

    def __init__(self, backend: GgufBackend):
        self._layers = [(x, LayerState(x)) for x in backend.layers]
        self._hidden = np.random.default_rng(1).standard_normal((PREFILL_TOKENS, backend.layers[0].width), np.float32)
        self.length = 0

    def forward(self, tokens: np.ndarray, rows: Any, _logits: Any) -> None:
        n = len(tokens)
        for layer, state in self._layers:
            layer.run(self._hidden[None, :n], rows.wait(layer.layer_id)[None], [state], [self.length])
        self.length += n

    def rewind(self, length: int) -> None:
        self.length = length


def measure(folder: ModelFolder, threads: int, rounds: int) -> dict[str, dict[str, np.ndarray]]:
    """Seconds a token of decode ("decode") and a prefill of PREFILL_TOKENS ("prefill") of each variant, one a turn."""
    if folder.context_length < PREFILL_TOKENS:
        raise EngramError(f"{folder.path}: a context of {folder.context_length} tokens is too short to measure")
    # The settings that llama_cpp.Llama has by default. Like `stock`, `never` has its weights for itself: contexts that
    # share a copy find more of it in the caches.
    options = {"threads": threads, "context_length": PREFILL_TOKENS, "flash_attention": "off"}
    backend, backend_of_never = GgufBackend(folder, **options), NeverBackend(folder, **options)
    variants = {"stock": Stock(backend.path, threads, PREFILL_TOKENS), "off": Ours(backend, False)}
    variants |= {"never": Ours(backend_of_never, True), "on": Ours(backend, True), "alone": Alone(backend)}
    tokens = np.random.default_rng(2).integers(0, backend.vocab_size, PREFILL_TOKENS)
    clock = time.thread_time if threads == 1 else time.perf_counter
    try:
        return {
            "prefill": _turns(variants, clock, [], [tokens], FixedRows(backend, PREFILL_TOKENS), rounds),
            "decode": _turns(
                variants,
                clock,
                tokens[:PREFIX_TOKENS],
                tokens[-BURST:].reshape(-1, 1),
                FixedRows(backend, 1),
                rounds * 5,
            ),
        }
    finally:
        backend.close()
        backend_of_never.close()


def _turns(variants: dict, clock, prefix, chunks, rows: FixedRows, n: int) -> dict[str, np.ndarray]:
    """Time `chunks` behind `prefix` n times with each variant; seconds a chunk."""
    seconds = {name: [] for name in variants}
    with_rows = {name: rows if name in ("never", "on", "alone") else None for name in variants}
    for name, variant in variants.items():
        variant.rewind(0)
        for token in prefix:
            variant.forward(np.array([token]), with_rows[name], "last")
    rng = np.random.default_rng(3)
    for _ in range(n):
        for name in rng.permutation(list(variants)):  # no variant always follows the same one
            variant, of_variant = variants[name], with_rows[name]
            variant.rewind(len(prefix))
            if name == "alone":
                variants["off"].rewind(len(prefix))
            elapsed = 0.0
            for chunk in chunks:
                if name == "alone":
                    variants["off"].forward(chunk, None, "last")
                start = clock()
                variant.forward(chunk, of_variant, "last")
                elapsed += clock() - start
            seconds[name].append(elapsed / len(chunks))
    return {name: np.array(x[len(x) // 10 :]) for name, x in seconds.items()}  # the first turns warm up


def summary(seconds: dict[str, np.ndarray], n_layers: int) -> dict:
    """Medians in microseconds, ratios to stock of the same turn, and what a layer costs beyond its own compute."""
    quartiles = {k: [float(q) for q in np.percentile(v * 1e6, (25, 50, 75))] for k, v in seconds.items()}
    ratio = {k: float(np.median(seconds[k] / seconds["stock"])) for k in ("off", "never", "on")}
    extra = (seconds["on"] - seconds["off"] - seconds["alone"]) / n_layers * 1e6
    return {"us": quartiles, "ratio_to_stock": ratio, "extra_us_a_layer": float(np.median(extra))}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="llama_overhead", description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40, help="prefills of each variant; five times as many decodes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        folder = ModelFolder.open(args.model)
        result = measure(folder, args.threads, args.rounds)
    except EngramError as error:
        print(error, file=sys.stderr)
        return 1
    n_layers = len(folder.engram.layers)
    report = {phase: summary(seconds, n_layers) for phase, seconds in result.items()}
    if args.json:
        print(json.dumps(report))
        return 0
    for phase, unit in (("prefill", f"{PREFILL_TOKENS} tokens"), ("decode", "a token")):
        r = report[phase]
        print(f"{phase} ({unit}, {n_layers} Engram layers, {args.threads} threads)")
        for name, (low, mid, high) in r["us"].items():
            ratio = f"   {r['ratio_to_stock'][name]:.4f} of stock" if name in r["ratio_to_stock"] else ""
            print(f"  {name:6} {mid:12,.1f} us   [{low:,.1f} .. {high:,.1f}]{ratio}")
        print(f"  a layer, beyond its own compute: {r['extra_us_a_layer']:+.1f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
