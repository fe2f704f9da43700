"""What encoded tables change in a model's predictions: a text with the tables' rows and with those they came from.

Runs the finished model itself. Memory: a window's rows and the logits of STEP tokens, twice.
"""

import codecs
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engram_local.backends.base import ReadRows
from engram_local.errors import EngramError
from engram_local.model import load
from engram_local.progress import Progress
from engram_local.tokenization import Tokenizer
from engram_local.tools.checkpoints.view import RowSource

WINDOW = 512  # tokens that a prediction may look back on; each window starts afresh
STEP = 64  # tokens evaluated at a time
MIN_TOKENS = 256
MAX_TOKENS = 1 << 16  # the text's beginning; more would change the mean's third digit
MAX_TEXT_BYTES = 1 << 20  # that are read and tokenized for them


def read_tokens(folder: Path, text_file: str | Path) -> np.ndarray:
    """Token ids, int64 [n], of the beginning of a UTF-8 text by the tokenizer.json in `folder`: at most MAX_TOKENS of
    MAX_TEXT_BYTES, whatever the text's size. EngramError where they are too few."""
    try:
        with open(text_file, "rb") as file:
            data = file.read(MAX_TEXT_BYTES)
        text = codecs.getincrementaldecoder("utf-8")().decode(data, final=len(data) < MAX_TEXT_BYTES)
    except OSError as error:
        raise EngramError(f"{text_file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise EngramError(f"{text_file}: is not UTF-8 text (byte {error.start}); convert it") from error
    tokens = np.array(Tokenizer(folder).encode(text), np.int64)
    if len(tokens) < MIN_TOKENS:
        raise EngramError(f"{text_file}: has {len(tokens)} tokens, calibration needs {MIN_TOKENS}; give a longer text")
    return tokens[:MAX_TOKENS]


def calibrate(
    folder: Path,
    sources: dict[int, RowSource],
    tokens: np.ndarray,
    text_name: str,
    progress: Progress | None = None,
) -> dict:
    """Compare the model in `folder` with itself on the rows of `sources` ({layer id: rows}).

    Returns "text", "tokens" (predicted), "window", "mean_kl" (nats: the next token's distribution with the sources'
    rows, from that with the tables'), "perplexity", "reference_perplexity" and "perplexity_change" (0.01: 1 % worse).
    """
    kl = nll = reference_nll = 0.0
    n = 0
    with load(folder) as model:
        window, step = min(WINDOW, model.context_length), min(STEP, model.backend.max_chunk)
        starts = [i for i in range(0, len(tokens), window) if len(tokens) - i > 1]
        for start in starts:
            part = tokens[start : start + window]
            ours, theirs = model.session(memory=True), model.session(memory=True, rows=SourceRows(sources))
            for i in range(0, len(part) - 1, step):
                given, following = part[i : i + step], part[i + 1 : i + 1 + step]  # one fewer at the window's end
                log_p = log_softmax(theirs.forward(given, "all"))[: len(following)]
                log_q = log_softmax(ours.forward(given, "all"))[: len(following)]
                at = np.arange(len(following))
                kl += float((np.exp(log_p) * (log_p - log_q)).sum(dtype=np.float64))
                reference_nll -= float(log_p[at, following].sum(dtype=np.float64))
                nll -= float(log_q[at, following].sum(dtype=np.float64))
                n += len(following)
                if progress:
                    progress("calibration", n, len(tokens) - len(starts), "tokens")
            ours.close()
            theirs.close()
    return {
        "text": text_name,
        "tokens": n,
        "window": window,
        "mean_kl": max(0.0, kl / n),
        "perplexity": float(np.exp(nll / n)),
        "reference_perplexity": float(np.exp(reference_nll / n)),
        "perplexity_change": float(np.expm1((nll - reference_nll) / n)),
    }


class SourceRows:
    """Rows of a checkpoint in place of a model's tables (RowSource of lookup.py), read when they are asked for."""

    def __init__(self, sources: dict[int, RowSource]):
        self.sources, self.max_tokens = sources, STEP

    def start(self, row_ids: Mapping[int, np.ndarray]) -> ReadRows:
        """See lookup.RowSource."""
        return ReadRows({layer_id: read_rows(self.sources[layer_id], ids) for layer_id, ids in row_ids.items()})


def read_rows(source: RowSource, row_ids: np.ndarray) -> np.ndarray:
    """Rows of int64 [n, heads] -> float32 [n, heads * dim], neighbours in one read."""
    wanted, places = np.unique(row_ids, return_inverse=True)
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
    rows = np.concatenate([source.read(int(run[0]), int(run[-1]) + 1) for run in runs])
    return rows[places.reshape(-1)].reshape(len(row_ids), -1)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in place."""
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return logits
