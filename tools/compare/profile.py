"""python -m engram_local.tools.compare profile FOLDER: where the time of a token goes, on both backends.

One thread decodes behind a prompt, memory off. ONNX Runtime's own profiler times the operators of its graph; llama.cpp
stops behind every node of its graph where the evaluation callback wants it, and the clock runs in between. Both take
longer so; "untimed" is what a step takes where nobody asks, Python included.
"""

import ctypes
import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np

from engram_local.backends.large_pages import large_pages
from engram_local.backends.llama_context import LlamaContext
from engram_local.backends.llama_library import ggml_function, llama, load_model
from engram_local.backends.onnx_graph import open_session
from engram_local.graph_names import GGUF_FILE, ONNX_DATA_FILE, ONNX_FILE
from engram_local.model import Model, load
from engram_local.model_folder import ModelFolder

PARTS = ("feed-forward matrices", "attention's matrices", "head", "attention", "norms", "other operators")
UNTIMED = "a step, untimed"
PRODUCTS = ("MatMul", "MatMulNBits", "Gemm", "QMoE", "MUL_MAT", "MUL_MAT_ID")
OF_ATTENTION = ("GroupQueryAttention", "SOFT_MAX", "FLASH_ATTN_EXT", "ROPE", "SET_ROWS")


def part_of(name: str, operator: str) -> str:
    """Which of PARTS a node of either runtime's graph belongs to."""
    if operator in PRODUCTS:
        if "lm_head" in name or name == "result_output":
            return "head"
        if re.match("kqv?(-|_)", name):
            return "attention"
        return "feed-forward matrices" if "/mlp/" in name or name.startswith("ffn") else "attention's matrices"
    if operator in OF_ATTENTION:
        return "attention"
    return "norms" if "Norm" in operator or "norm" in name else "other operators"


def run(folder: str, n_prompt: int, n_tokens: int, json_file: str | None, plot_file: str | None) -> dict:
    """Measure, print, write the figures, draw them. Returns {backend: {part: milliseconds of a token}}."""
    opened = ModelFolder.open(folder)
    figures = {}
    for backend, is_there in (("onnx", opened.has_onnx), ("gguf", opened.has_gguf)):
        if is_there:
            with load(folder, backend=backend, threads=1, memory=False, context_length=n_prompt + n_tokens) as model:
                tokens = np.random.default_rng(0).integers(0, model.n_tokens, n_prompt + n_tokens)
                figures[backend] = profile(model, tokens[:n_prompt], tokens[n_prompt:])
    print(f"{folder}: milliseconds of a token, one thread, behind {n_prompt} tokens")
    print(f"{'':24}" + "".join(f"{x:>8}" for x in figures))
    for part in (*PARTS, UNTIMED):
        print(f"{part:24}" + "".join(f"{x[part]:8.2f}" for x in figures.values()))
    if json_file:
        Path(json_file).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if plot_file:
        plot(figures, plot_file)
    return figures


def profile(model: Model, prompt: np.ndarray, answer: np.ndarray) -> dict[str, float]:
    """Milliseconds of a token by part, medians over the answer's steps."""
    plain = median(_seconds(model, prompt, answer))
    steps = (_onnx_steps if model.backend.name == "onnx" else _gguf_steps)(model, prompt, answer)
    figures = {part: 1e3 * median(x[part] for x in steps) for part in PARTS}
    return {**figures, UNTIMED: 1e3 * plain}


def _seconds(model: Model, prompt: np.ndarray, answer: np.ndarray) -> list[float]:
    """What each token of the answer takes."""
    session, times = model.session(), []
    session.forward(prompt)
    for token in answer:
        begin = time.perf_counter()
        session.forward([token])
        times.append(time.perf_counter() - begin)
    session.close()
    return times


def _onnx_steps(model: Model, prompt: np.ndarray, answer: np.ndarray) -> list[Counter[str]]:
    """Seconds of each part, a step an entry."""
    with tempfile.TemporaryDirectory() as scratch:
        with large_pages(model.folder.n_bytes(ONNX_FILE, ONNX_DATA_FILE)):
            model.backend.session = open_session(model.backend.path, 1, profile_prefix=str(Path(scratch) / "steps"))
        _seconds(model, prompt, answer)
        events = json.loads(Path(model.backend.session.end_profiling()).read_text())
    starts = [x["ts"] for x in events if x["name"] == "model_run"][-len(answer) :]
    steps: list[Counter[str]] = [Counter() for _ in starts]
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        # What lies in an If is counted with it.
        if name != event["name"] and event["ts"] >= starts[0] and not name.startswith("engram."):
            step = steps[int(np.searchsorted(starts, event["ts"], "right")) - 1]
            step[part_of(name, event["args"]["op_name"])] += event["dur"] / 1e6
    return steps


def _gguf_steps(model: Model, prompt: np.ndarray, answer: np.ndarray) -> list[Counter[str]]:
    """The same, in a context of its own whose callback wants every node."""
    to_name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)
    name, operator = to_name(ggml_function("ggml_get_name")), to_name(ggml_function("ggml_op_desc"))
    steps: list[Counter[str]] = [Counter()]
    begin = 0.0

    def on_node(node: int, ask: bool, _user_data: int) -> bool:
        nonlocal begin
        end = time.perf_counter()
        if not ask:
            steps[-1][part_of(name(node).decode(), operator(node).decode())] += end - begin
        begin = time.perf_counter()
        return True

    callback = llama().ggml_backend_sched_eval_callback(on_node)
    params = {"n_threads": 1, "n_threads_batch": 1, "flash_attn_type": 0, "cb_eval": callback, "no_perf": True}
    path = model.folder.file(GGUF_FILE)
    with large_pages(path.stat().st_size):
        loaded = load_model(path)
    context = LlamaContext(loaded, path, 1, len(prompt), params)
    try:
        context.reserve(len(prompt) + len(answer), [])
        for i, tokens in enumerate([prompt, *answer[:, None]]):
            steps.append(Counter())
            context.fill([(0, len(prompt) + i - 1 if i else 0, tokens, "last")])
            context.decode()
    finally:
        context.free()
        llama().llama_model_free(loaded)
    return steps[-len(answer) :]


def plot(figures: dict[str, dict[str, float]], path: str) -> None:
    """A bar a backend, its parts one after the other."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(9, 2.6), layout="constrained")
    left = np.zeros(len(figures))
    colours = ("#2f5d8a", "#2f7ed8", "#8bbcf0", "#d8802f", "#7aa874", "#c2b280")
    for part, colour in zip(PARTS, colours, strict=True):
        width = np.array([x[part] for x in figures.values()])
        axis.barh(list(figures), width, left=left, color=colour, label=part)
        left += width
    axis.plot([x[UNTIMED] for x in figures.values()], list(figures), "k|", markersize=34, label=UNTIMED)
    axis.set_xlabel("milliseconds of a token, one thread")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8, markerscale=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
