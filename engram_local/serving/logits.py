"""What a request does to a model's logits before a token is drawn, and what it is told of them."""

from collections.abc import Mapping

import numpy as np


class Adjustments:
    """Logit bias, and the penalties of OpenAI's protocol, which count tokens of the answer alone."""

    def __init__(self, bias: Mapping[int, float], presence: float, frequency: float):
        """bias: {token id: what is added to its logit}."""
        self._ids = np.array(list(bias), np.int64)
        self._bias = np.array(list(bias.values()), np.float32)
        self._presence, self._frequency = presence, frequency
        self._counts: dict[int, int] = {}

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """float32 [n_tokens], the same array where nothing is asked for."""
        penalized = self._counts if self._presence or self._frequency else {}
        if not len(self._ids) and not penalized:
            return logits
        logits = logits.copy()
        logits[self._ids] += self._bias
        if penalized:
            counts = np.array(list(penalized.values()), np.float32)
            logits[list(penalized)] -= self._presence + self._frequency * counts
        return logits

    def count(self, token_id: int) -> None:
        """A token of the answer."""
        self._counts[token_id] = self._counts.get(token_id, 0) + 1


def log_probability(logits: np.ndarray, token_id: int) -> float:
    """Natural logarithm of the token's probability: of the model's own logits [n_tokens], whatever was drawn from."""
    return float(logits[token_id] - _log_sum(logits))


def top_log_probabilities(logits: np.ndarray, n: int) -> list[tuple[int, float]]:
    """(token id, log probability) of the n likeliest tokens, the likeliest first."""
    if n < 1:
        return []
    n = min(n, len(logits))
    ids = np.argpartition(-logits, n - 1)[:n]
    ids = ids[np.argsort(-logits[ids], kind="stable")]
    total = _log_sum(logits)
    return [(int(i), float(logits[i] - total)) for i in ids]


def _log_sum(logits: np.ndarray) -> float:
    """log(sum(exp(logits))), in float64."""
    largest = float(logits.max())
    return largest + float(np.log(np.exp(logits.astype(np.float64) - largest).sum()))
