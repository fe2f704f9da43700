"""engram-local bench --compare: one exported backbone, memory off, in this project's backends and in stock software.

All contenders get the same random tokens and threads, and take turns within each round. A contender whose package or
file is missing is left out, and named. Weights differ between the formats; the table says what each one runs.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np

from engram_local import __version__
from engram_local.commands.bench_model import spread
from engram_local.commands.terminal import Result
from engram_local.errors import EngramError
from engram_local.graph_names import GGUF_FILE, LAST_POSITIONS, LOGITS_ROWS, ONNX_FILE, TOTAL_LENGTH
from engram_local.model import load
from engram_local.model_folder import ModelFolder
from engram_local.sizes import format_size

PAUSE_S = 0.2  # threads of the software before spin on for a while, and would slow this one down


class Unavailable(Exception):
    """A contender that cannot take part, and why."""


@dataclass
class Contender:
    """One piece of software with the backbone loaded: `prefill` starts a new context, `decode` adds one token."""

    name: str
    engine: str  # and its version
    weights: str
    prefill: Callable[[np.ndarray], None]
    decode: Callable[[int], None]
    prefill_tok_s: list[float] = field(default_factory=list)
    decode_tok_s: list[float] = field(default_factory=list)


def run_compare(path: str | Path, threads: int, n_prompt: int, n_decode: int, rounds: int, result: Result) -> None:
    """Measure, print a table or give `result` what it asks for."""
    contenders, left_out = compare(path, threads, n_prompt, n_decode, rounds)
    if result.give(summary(contenders, path, threads)):
        return
    print_table(contenders, path, threads, n_prompt, n_decode)
    for reason in left_out:
        print(f"left out: {reason}")


def compare(
    path: str | Path, threads: int, n_prompt: int, n_decode: int, rounds: int
) -> tuple[list[Contender], list[str]]:
    """Measure every contender that can run, an unrecorded round first; returns them and why others are left out."""
    folder = ModelFolder.open(path)
    n_context = min(folder.context_length, n_prompt + n_decode)
    if n_context < n_prompt + n_decode:
        raise EngramError(f"{n_prompt} and {n_decode} tokens exceed the context of {n_context}; use --prompt-tokens")
    with ExitStack() as stack:
        contenders, left_out = [], []
        for opener in (_own("onnx"), _own("gguf"), _llama_cpp_python, _onnxruntime_genai):
            try:
                contenders.append(stack.enter_context(opener(folder, threads, n_context)))
            except Unavailable as reason:
                left_out.append(str(reason))
        if not contenders:
            raise EngramError(f"{folder.path}: nothing to compare: {'; '.join(left_out)}")
        for i in range(-1, rounds):
            tokens = np.random.default_rng(i + 1).integers(0, folder.vocab_size, n_prompt + n_decode)
            for contender in contenders:
                measure(contender, tokens[:n_prompt], tokens[n_prompt:], record=i >= 0)
        return contenders, left_out


def measure(contender: Contender, prompt: np.ndarray, answer: np.ndarray, record: bool) -> None:
    """Speeds of one program."""
    time.sleep(PAUSE_S)
    start = time.perf_counter()
    contender.prefill(prompt)
    middle = time.perf_counter()
    for token in answer.tolist():
        contender.decode(token)
    end = time.perf_counter()
    if record:
        contender.prefill_tok_s.append(len(prompt) / (middle - start))
        contender.decode_tok_s.append(len(answer) / (end - middle))


def _own(backend: str):
    @contextmanager
    def opener(folder: ModelFolder, threads: int, n_context: int) -> Iterator[Contender]:
        if not {"onnx": folder.has_onnx, "gguf": folder.has_gguf}[backend]:
            raise Unavailable(f"engram_local {backend}: the folder has no backbone.{backend}")
        with load(folder.path, backend=backend, threads=threads, memory=False, context_length=n_context) as model:
            session = model.session()

            def prefill(tokens):
                session.rewind(0)
                session.forward(tokens)

            engine = {"onnx": "onnxruntime", "gguf": "llama-cpp-python"}[backend]
            label = f"{engine} {_version(engine)}"
            weights = _gguf_weights(folder) if backend == "gguf" else _weights(folder, "onnx")
            yield Contender(f"engram_local {backend}", label, weights, prefill, lambda t: session.forward([t]))
            session.close()

    return opener


@contextmanager
def _llama_cpp_python(folder: ModelFolder, threads: int, n_context: int) -> Iterator[Contender]:
    if not folder.has_gguf or _version("llama-cpp-python") is None:
        raise Unavailable("llama-cpp-python: needs the package and backbone.gguf")
    import llama_cpp

    path = folder.file(GGUF_FILE)
    model = llama_cpp.Llama(str(path), n_ctx=n_context, n_threads=threads, n_threads_batch=threads, verbose=False)

    def prefill(tokens):
        model.reset()
        model.eval(tokens.tolist())

    yield Contender(
        "llama-cpp-python",
        f"llama-cpp-python {_version('llama-cpp-python')}",
        _gguf_weights(folder),
        prefill,
        lambda t: model.eval([t]),
    )
    model.close()


@contextmanager
def _onnxruntime_genai(folder: ModelFolder, threads: int, n_context: int) -> Iterator[Contender]:
    if not folder.has_onnx or _version("onnxruntime-genai") is None or _version("onnx") is None:
        raise Unavailable("onnxruntime-genai: needs the packages onnxruntime-genai and onnx, and backbone.onnx")
    import onnxruntime_genai as genai

    with tempfile.TemporaryDirectory() as temporary:
        write_plain_backbone(folder, Path(temporary), threads)
        try:
            model = genai.Model(temporary)
        except RuntimeError as error:
            raise Unavailable(f"onnxruntime-genai: {' '.join(str(error).split())[:120]}") from error
        parameters = genai.GeneratorParams(model)
        parameters.set_search_options(max_length=n_context, do_sample=False)
        generators = []

        def prefill(tokens):
            generators[:] = [genai.Generator(model, parameters)]
            generators[0].append_tokens(tokens.astype(np.int32))
            generators[0].get_logits()

        def decode(token):
            generators[0].append_tokens(np.array([token], np.int32))
            generators[0].get_logits()

        label = f"onnxruntime-genai {_version('onnxruntime-genai')}"
        yield Contender("onnxruntime-genai", label, _weights(folder, "onnx"), prefill, decode)
        generators.clear()


def write_plain_backbone(folder: ModelFolder, out: Path, threads: int) -> None:
    """backbone.onnx as onnxruntime-genai takes it: without the Engram layers, and with the last logits alone."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    source = folder.file(ONNX_FILE)
    model = onnx.load(source, load_external_data=False)
    graph = model.graph
    for node in [x for x in graph.node if x.name.startswith("engram.enabled/")]:
        graph.node.remove(node)
    for node in [x for x in graph.node if x.op_type == "If" and x.name.startswith("/engram.")]:
        (off,) = [a.g for a in node.attribute if a.name == "else_branch"]
        (copy,) = [x for x in off.node if off.output[0].name in x.output]
        node.CopyFrom(helper.make_node("Identity", [copy.input[0]], [node.output[0]]))
    ours = [x for x in graph.input if "engram_" in x.name or x.name in (LOGITS_ROWS, LAST_POSITIONS, TOTAL_LENGTH)]
    for value in ours:
        graph.input.remove(value)
    graph.input.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch_size", "total"]))
    lengths = [  # it feeds a mask
        helper.make_node("ReduceSum", ["attention_mask", "mask.one"], ["mask.seen"], keepdims=0),
        helper.make_node("Sub", ["mask.seen", "mask.one"], ["mask.last"]),
        helper.make_node("Cast", ["mask.last"], [LAST_POSITIONS], to=TensorProto.INT32),
        helper.make_node("Shape", ["attention_mask"], ["mask.shape"]),
        helper.make_node("Gather", ["mask.shape", "mask.axis"], ["mask.total"]),
        helper.make_node("Cast", ["mask.total"], [TOTAL_LENGTH], to=TensorProto.INT32),
    ]
    for i, node in enumerate(lengths):
        graph.node.insert(i, node)
    graph.initializer.append(numpy_helper.from_array(np.array([1]), "mask.one"))
    graph.initializer.append(numpy_helper.from_array(np.array(1), "mask.axis"))
    for value in [x for x in graph.output if "engram_" in x.name]:
        graph.output.remove(value)
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), LOGITS_ROWS))
    onnx.save(model, out / "model.onnx")
    for file in {e.value for x in graph.initializer for e in x.external_data if e.key == "location"}:
        shutil.copyfile(folder.file(file), out / file)  # ONNX Runtime refuses links of either kind
    config = folder.config
    kv = [x.name for x in graph.input if x.name.startswith("past_key_values.") and x.name.endswith(".key")]
    decoder = {
        "session_options": {"provider_options": [], "intra_op_num_threads": threads},
        "filename": "model.onnx",
        "head_size": folder.head_dim,
        "hidden_size": config["hidden_size"],
        "num_attention_heads": config["num_attention_heads"],
        "num_hidden_layers": len(kv),
        "num_key_value_heads": config.get("num_key_value_heads", config["num_attention_heads"]),
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
    }
    eos = sorted(folder.eos_ids())
    genai_config = {
        "model": {
            "type": config["model_type"],
            "bos_token_id": 0,
            "eos_token_id": eos,
            "pad_token_id": eos[0] if eos else 0,
            "context_length": folder.context_length,
            "vocab_size": folder.vocab_size,
            "decoder": decoder,
        },
        "search": {"max_length": folder.context_length, "past_present_share_buffer": True, "do_sample": False},
    }
    (out / "genai_config.json").write_text(json.dumps(genai_config))


def print_table(contenders: list[Contender], path: str | Path, threads: int, n_prompt: int, n_decode: int) -> None:
    """The figures side by side."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    n_rounds = len(contenders[0].decode_tok_s)
    console.print(f"engram_local {__version__}, {path}: memory off, {threads} threads")
    console.print(f"prompt {n_prompt}, {n_decode} tokens; median (lowest-highest) of {n_rounds} rounds, taken in turns")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("software", "weights", "prefill tok/s", "decode tok/s"):
        table.add_column(name, justify="right" if "tok/s" in name else "left", no_wrap=True)
    for x in contenders:
        table.add_row(x.name, x.weights, spread(x.prefill_tok_s), spread(x.decode_tok_s))
    console.print(table)
    console.print(", ".join(sorted({x.engine for x in contenders})))


def summary(contenders: list[Contender], path: str | Path, threads: int) -> dict:
    """What bench --compare --json writes."""
    return {
        "model": str(path),
        "engram_local": __version__,
        "threads": threads,
        "memory": False,
        "contenders": [
            {
                "name": x.name,
                "engine": x.engine,
                "weights": x.weights,
                "prefill_tok_s": _figures(x.prefill_tok_s),
                "decode_tok_s": _figures(x.decode_tok_s),
            }
            for x in contenders
        ],
    }


def _figures(values: list[float]) -> dict:
    return {"median": round(median(values), 2), "lowest": round(min(values), 2), "highest": round(max(values), 2)}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _weights(folder: ModelFolder, backend: str, encoding: str | None = None) -> str:
    size = sum(x["bytes"] for file, x in folder.manifest["files"].items() if file.startswith(f"backbone.{backend}"))
    encoding = encoding or folder.manifest.get("export", {}).get("weights", "")
    return ", ".join(filter(None, (encoding, format_size(size))))


def _gguf_weights(folder: ModelFolder) -> str:
    """What the GGUF says of itself: q8_0, q4_k_m, ..."""
    import gguf

    from engram_local.backends.llama_library import llama, load_model, metadata

    model = load_model(folder.file(GGUF_FILE), vocab_only=True)
    try:
        file_type = metadata(model, "general.file_type")
    finally:
        llama().llama_model_free(model)
    try:
        name = gguf.LlamaFileType(int(file_type)).name
    except (TypeError, ValueError):
        return _weights(folder, "gguf")
    return _weights(folder, "gguf", name.removeprefix("MOSTLY_").removeprefix("ALL_").lower())
