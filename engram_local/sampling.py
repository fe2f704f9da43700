"""From logits to a token id. Knows nothing of text.

The filters are Hugging Face's, in its order: repetition penalty, temperature, top-k, top-p, min-p.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engram_local.arguments import integer, number
from engram_local.errors import BackendError, ModelFolderError, UsageError

MIN_FLOAT, MAX_FLOAT = 5e-324, 1.7976931348623157e308
NUCLEUS = 1024  # most likely tokens sorted first; nearly every top-p set is smaller


@dataclass(frozen=True)
class SamplingParams:
    """How to choose a token: temperature 0 is greedy; top_k 0, top_p 1, min_p 0 and repetition_penalty 1 are off."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, low, high, wanted in (
            ("temperature", 0, MAX_FLOAT, "a finite number from 0"),
            ("top_p", MIN_FLOAT, 1, "a number above 0, up to 1"),
            ("min_p", 0, 1, "a number from 0 to 1"),
            ("repetition_penalty", 0.001, 1000, "a number from 0.001 to 1000"),
        ):
            object.__setattr__(self, name, number(getattr(self, name), name, wanted, low, high))
        object.__setattr__(self, "top_k", integer(self.top_k, "top_k", 0))
        if self.seed is not None:
            object.__setattr__(self, "seed", integer(self.seed, "seed", 0, 2**128))


def own_settings(settings: dict[str, Any], source: str) -> dict[str, Any]:
    """Fields of SamplingParams that a model's generation_config.json sets. `source` names the file. Raises
    ModelFolderError for what cannot be."""
    filters = ("temperature", "top_k", "top_p", "min_p") if settings.get("do_sample") else ()
    chosen: dict[str, Any] = {"temperature": 1.0} if filters else {}
    chosen |= {key: settings[key] for key in (*filters, "repetition_penalty") if settings.get(key) is not None}
    try:
        SamplingParams(**chosen)
    except UsageError as error:
        raise ModelFolderError(f"{source}: {error}; correct it") from error
    return chosen


class Sampler:
    """Draws one token after another; the same seed and logits give the same tokens."""

    def __init__(self, params: SamplingParams):
        self.params = params
        # Importing numpy.random takes longer than the pocket model does for a short answer.
        self.random = None if params.temperature == 0 else np.random.default_rng(params.seed)

    def sample(self, logits: np.ndarray, context: np.ndarray) -> int:
        """One token id. `logits` float32 [vocab]; `context` int64 [n], the tokens the repetition penalty is about.
        Raises BackendError where the logits hold no number to choose by."""
        p = self.params
        if p.repetition_penalty != 1.0:
            logits = penalize(logits, context, p.repetition_penalty)
        best = int(logits.argmax())
        if not np.isfinite(logits[best]):
            raise BackendError(
                f"the model's logits are not finite ({logits[best]}); its weights are damaged: run verify"
            )
        if self.random is None:
            return best
        ids, probabilities = candidates(logits, p)
        cumulative = probabilities.cumsum()
        drawn = int(np.searchsorted(cumulative, self.random.random() * cumulative[-1], side="right"))
        return int(ids[min(drawn, len(ids) - 1)])


def penalize(logits: np.ndarray, context: np.ndarray, penalty: float) -> np.ndarray:
    """A copy in which tokens of the context are less likely: positive logits divided, negative ones multiplied."""
    seen = np.unique(context)
    values = logits[seen]
    logits = logits.copy()
    logits[seen] = np.where(values > 0, values / penalty, values * penalty)
    return logits


def candidates(logits: np.ndarray, params: SamplingParams) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn, most likely first, and their float64 weights (which need not sum to 1).

    Sorts only as many tokens as the filters can keep. Twin: candidates_full.
    """
    scaled = _scaled(logits, params.temperature)
    weights = np.exp(scaled)
    n = len(weights)
    limit = min(params.top_k or n, n)
    if limit == n and params.top_p < 1:
        total = weights.sum()
        limit = min(NUCLEUS, n)
        ids = _largest(scaled, limit)
        if weights[ids].sum() < params.top_p * total:
            ids = _largest(scaled, n)
    elif limit == n and params.min_p == 0:
        return np.arange(n), weights
    else:
        ids = _largest(scaled, limit)
        total = weights[ids].sum()
    kept = weights[ids]
    if params.top_p < 1:
        before = np.concatenate([[0.0], kept.cumsum()[:-1]])
        n_kept = max(1, int((before < params.top_p * total).sum()))
        ids, kept = ids[:n_kept], kept[:n_kept]
    n_kept = max(1, int((kept >= params.min_p * kept[0]).sum()))
    return ids[:n_kept], kept[:n_kept]


def _scaled(logits: np.ndarray, temperature: float) -> np.ndarray:
    """float64, the largest 0: no temperature overflows then, however small."""
    distance = logits.astype(np.float64) - logits.max()
    with np.errstate(over="ignore"):  # -inf is right: it is never drawn
        return distance / temperature


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k largest values, largest first; equal values in the order of their index."""
    if k < len(values):
        threshold = np.partition(values, len(values) - k)[len(values) - k]
        above = np.flatnonzero(values > threshold)
        ids = np.concatenate([above, np.flatnonzero(values == threshold)[: k - len(above)]])
        ids.sort()
    else:
        ids = np.arange(len(values))
    return ids[np.argsort(-values[ids], kind="stable")]


def candidates_full(logits: np.ndarray, params: SamplingParams) -> tuple[np.ndarray, np.ndarray]:
    """The same as `candidates`, one filter after another over the whole sorted vocabulary."""
    scaled = _scaled(logits, params.temperature)
    ids = np.argsort(-scaled, kind="stable")
    if params.top_k:
        ids = ids[: params.top_k]
    weights = np.exp(scaled)[ids]
    probabilities = weights / weights.sum()
    keep = np.ones(len(ids), bool)
    running = 0.0
    for i, probability in enumerate(probabilities):
        keep[i] = i == 0 or params.top_p == 1 or running < params.top_p
        running += probability
    keep &= (np.arange(len(ids)) == 0) | (probabilities >= params.min_p * probabilities[0])
    return ids[keep], weights[keep]
