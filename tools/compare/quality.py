"""python -m engram_local.tools.compare quality FOLDER: what each --weights loses of a model, and how fast it runs.

FOLDER is a Hugging Face folder. Every encoding is exported for both backends and asked about the same text, window by
window; the loss is the KL divergence of the next token's distribution from that of float32 on ONNX. Then all of them
take turns at decoding. Memory: the float32 log-probabilities of the whole text, and all models at once.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from engram_local.commands.bench_model import spread
from engram_local.errors import CheckpointError, EngramError
from engram_local.machine import physical_cores
from engram_local.model import Model, load
from engram_local.tokenization import Tokenizer
from engram_local.tools.calibration import log_softmax
from engram_local.tools.compare.backbones import Contender, measure
from engram_local.tools.compare.plain_model import make_plain_model
from engram_local.tools.compare.real_model import fetch_real_model
from engram_local.tools.compare.table_text import documentation

WINDOW = 512  # tokens that a prediction may look back on
PROMPT, ANSWER = 64, 32  # tokens of the speed measurement
BACKBONES = ("onnx", "gguf")


@dataclass
class Quality:
    """One export beside the float32 model."""

    weights: str
    backend: str
    megabytes: float  # of the backbone's files
    kl: float  # nats a token
    perplexity: float
    same_top: float  # share of tokens whose likeliest successor is the same
    decode_tok_s: list[float]


def run(
    folder: str | None,
    weights: list[str],
    backends: list[str],
    n_tokens: int,
    text_file: str | None,
    calibrate: str | None,
    rounds: int,
    threads: int | None,
    json_file: str | None,
    plot_file: str | None,
) -> None:
    """Measure and print; FOLDER None is the real model of real_model.py."""
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(folder) if folder else fetch_real_model(Path(scratch) / "base")
        figures, notes = compare(
            base, Path(scratch), weights, backends, n_tokens, text_file, calibrate, rounds, threads or physical_cores()
        )
    print_table(figures, str(folder or "SmolLM2-135M-Instruct"), n_tokens, rounds, notes)
    if json_file:
        Path(json_file).write_text(json.dumps([asdict(x) for x in figures], indent=1) + "\n", encoding="utf-8")
    if plot_file:
        plot(figures, plot_file)


def compare(
    base: Path,
    scratch: Path,
    weights: list[str],
    backends: list[str],
    n_tokens: int,
    text_file: str | None = None,
    calibrate: str | None = None,
    rounds: int = 0,
    threads: int = 1,
) -> tuple[list[Quality], list[str]]:
    """Figures of every (weights, backend), float32 on ONNX first; and why others are left out.

    Parameters: n_tokens: of the text that is measured; text_file: None is Python's documentation; calibrate: a text
                that ONNX's int4 is rounded for; rounds: of decoding, 0 measures no speed.
    """
    tokens = _tokens(base, text_file)[:n_tokens]
    calibration = None if calibrate is None else _tokens(base, calibrate)
    wanted = [("float32", "onnx")]
    wanted += [(w, b) for w in weights for b in backends if (w, b) not in wanted]
    paths, notes = {}, []
    for encoding, backend in wanted:
        path = scratch / f"{backend}-{encoding}"
        try:
            make_plain_model(base, path, [backend], encoding, calibration)
        except CheckpointError as error:
            notes.append(f"{encoding} {backend}: {error}")
            continue
        paths[encoding, backend] = path
    if wanted[0] not in paths:
        raise EngramError(notes[0])
    reference, figures = None, []
    for (encoding, backend), path in paths.items():
        with load(path, backend=backend, threads=threads, memory=False) as model:
            log_p, window = np.concatenate(list(_log_probabilities(model, tokens))), _window(model)
        reference = log_p if reference is None else reference
        size = sum(x.stat().st_size for x in path.glob("backbone.*")) / 1e6
        figures.append(Quality(encoding, backend, size, *_losses(reference, log_p, tokens, window), []))
        del log_p
    if rounds:
        _measure_speed(figures, list(paths.values()), tokens, rounds, threads)
    return figures, notes


def _tokens(base: Path, text_file: str | None) -> np.ndarray:
    """int64 [n] of a text, by default Python's documentation, in the model's own tokens."""
    text = "\n\n".join(documentation()) if text_file is None else Path(text_file).read_text(encoding="utf-8")
    return np.array(Tokenizer(base).encode(text), np.int64)


def _log_probabilities(model: Model, tokens: np.ndarray) -> Iterator[np.ndarray]:
    """float32 [window, vocab] a window, each a text of its own."""
    session, window = model.session(), _window(model)
    for start in range(0, len(tokens), window):
        session.rewind(0)
        yield log_softmax(session.forward(tokens[start : start + window], "all"))
    session.close()


def _window(model: Model) -> int:
    return min(WINDOW, model.context_length)


def _losses(reference: np.ndarray, log_p: np.ndarray, tokens: np.ndarray, window: int) -> tuple[float, float, float]:
    """KL, perplexity, same top token."""
    kl = np.mean([(np.exp(r) * (r - p)).sum(dtype=np.float64) for r, p in zip(reference, log_p, strict=True)])
    at = np.flatnonzero(np.arange(1, len(tokens)) % window)  # predictions inside a window
    nll = -log_p[at, tokens[at + 1]].mean(dtype=np.float64)
    same = np.mean(reference.argmax(-1) == log_p.argmax(-1))
    return max(0.0, float(kl)), float(np.exp(nll)), float(same)


def _measure_speed(figures: list[Quality], paths: list[Path], text: np.ndarray, rounds: int, threads: int) -> None:
    """Fill decode_tok_s: all models take turns within each round, an unrecorded round first."""
    with ExitStack() as stack:
        contenders = [stack.enter_context(_contender(x, y, threads)) for x, y in zip(figures, paths, strict=True)]
        for i in range(-1, rounds):
            tokens = np.random.default_rng(i + 1).choice(text, PROMPT + ANSWER)
            for contender in contenders:
                measure(contender, tokens[:PROMPT], tokens[PROMPT:], record=i >= 0)
        for figure, contender in zip(figures, contenders, strict=True):
            figure.decode_tok_s = [round(x, 2) for x in contender.decode_tok_s]


@contextmanager
def _contender(figure: Quality, path: Path, threads: int) -> Iterator[Contender]:
    with load(path, backend=figure.backend, threads=threads, memory=False, context_length=PROMPT + ANSWER) as model:
        session = model.session()

        def prefill(tokens: np.ndarray) -> None:
            session.rewind(0)
            session.forward(tokens)

        yield Contender(figure.backend, "", figure.weights, prefill, lambda t: session.forward([t]))
        session.close()


def print_table(figures: list[Quality], name: str, n_tokens: int, rounds: int, notes: list[str]) -> None:
    """The figures side by side."""
    print(f"{name}: {n_tokens} tokens, memory off, against float32; speed: median (lowest-highest) of {rounds} rounds")
    print(f"{'weights':10}{'backend':9}{'MB':>7}{'KL':>9}{'perplexity':>12}{'same top':>10}  decode tok/s")
    for x in figures:
        speed = spread(x.decode_tok_s) if x.decode_tok_s else ""
        print(
            f"{x.weights:10}{x.backend:9}{x.megabytes:7.1f}{x.kl:9.4f}{x.perplexity:12.2f}{x.same_top:10.3f}  {speed}"
        )
    for note in notes:
        print(note)


def plot(figures: list[Quality], path: str) -> None:
    """KL against tokens/s. Needs matplotlib."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4.5))
    for backend, marker in zip(BACKBONES, "os", strict=True):
        shown = [x for x in figures if x.backend == backend and x.weights != "float32" and x.decode_tok_s]
        axis.plot([median(x.decode_tok_s) for x in shown], [x.kl for x in shown], marker, label=backend)
        for x in shown:
            at = median(x.decode_tok_s), x.kl
            axis.annotate(f"{x.weights}, {x.megabytes:.0f} MB", at, xytext=(6, 4), textcoords="offset points")
    axis.set(xlabel="decode tokens/s", ylabel="KL against float32, nats a token", yscale="log")
    axis.margins(x=0.25)
    axis.grid(alpha=0.3, which="both")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
