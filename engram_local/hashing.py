"""Token ids -> row ids of each Engram layer's table. Knows nothing of text or of rows: integers in, integers out.

Source: arXiv 2601.07372 and its demo's NgramHashMapping; which variant a model uses is data (config.py).
"""

from typing import Any

import numpy as np

from engram_local import _native
from engram_local.arguments import integers
from engram_local.config import EngramConfig
from engram_local.errors import ConfigError, TokenRangeError, UsageError

DEAD = -1


class NgramHasher:
    """Hashes the tokens of one model. Immutable; any number of threads may use it.

    token_map: int32 [vocab_size], token id -> compressed id; None where the config hashes raw token ids.
    Raises ConfigError if the map does not fit the config.
    """

    def __init__(self, config: EngramConfig, token_map: np.ndarray | None = None):
        if (token_map is None) != (config.id_source == "raw"):
            state = "missing" if token_map is None else "given"
            raise ConfigError(f"the config hashes {config.id_source} ids, but a token map is {state}")
        if token_map is not None:
            token_map = _checked_map(token_map, config.n_ids)
        self.config = config
        self.vocab_size = config.n_ids if token_map is None else len(token_map)
        self.max_lag = config.max_lag
        self.token_map = token_map  # int32 [vocab_size], token id -> compressed id; None: ids are the tokens
        self._plans = {
            layer.layer_id: _native.HashPlan(layer.orders, config.mix, config.fill_id, config.segment_ids)
            for layer in config.layers
        }

    def ids(self, token_ids: Any) -> np.ndarray:
        """What is hashed: token ids [n] -> (compressed) ids int64 [n]. DEAD positions stay DEAD.

        Raises TokenRangeError, naming position and id, if a token lies outside [0, vocab_size).
        """
        tokens = integers(token_ids, "token ids", 1, TokenRangeError)
        return _native.map_tokens(self.token_map, self.vocab_size, tokens)

    def row_ids(self, token_ids: Any, layer_id: int, history: Any = None) -> np.ndarray:
        """Rows of one layer's table that each token reads: int64 [n, n_heads], order-major then head.

        token_ids: integers [n]; history: [<= max_lag] of `ids` (not token ids) before them, oldest first, DEAD where
        there is none. Raises TokenRangeError; ConfigError for a layer that has no table.
        Example: hasher.row_ids([5, 7, 9], layer_id=1).shape -> (3, 16)  # orders 2..3, 8 heads
        """
        ids = self.ids(token_ids)
        if ids.size and ids.min() < 0:
            raise TokenRangeError(f"token id {DEAD} at position {ids.argmin()} is outside the vocabulary")
        if history is None:
            return self.row_ids_of(ids, layer_id, 0)
        before = integers(history, "history", 1)
        if before.size and not (before.min() >= DEAD and before.max() < self.config.n_ids):
            raise UsageError(f"history holds ids outside [{DEAD}, {self.config.n_ids}); give what `ids` returned")
        return self.row_ids_of(np.concatenate((before, ids)), layer_id, len(before))

    def row_ids_of(self, ids: np.ndarray, layer_id: int, n_history: int) -> np.ndarray:
        """`row_ids` for what went through `ids` already: int64 [n_history + n], of which the first are only looked back
        on -> int64 [n, n_heads]."""
        return self.plan(layer_id).row_ids(ids, n_history)

    def plan(self, layer_id: int) -> _native.HashPlan:
        """One layer's hashing as the extension takes it (StepLookup). ConfigError for a layer that has no table."""
        if layer_id not in self._plans:
            raise ConfigError(f"no Engram layer {layer_id}; the model has {list(self._plans)}")
        return self._plans[layer_id]


def _checked_map(token_map: np.ndarray, n_ids: int) -> np.ndarray:
    token_map = np.asarray(token_map)
    if token_map.ndim != 1 or token_map.dtype != np.int32 or not len(token_map):
        raise ConfigError(
            f"the token map is {token_map.dtype} {list(token_map.shape)}, not int32 [vocab]; export again"
        )
    low, high = int(token_map.min()), int(token_map.max())
    if low < 0 or high >= n_ids:
        raise ConfigError(
            f"the token map holds ids {low} to {high}, but the config has {n_ids} ids: every row would be wrong; "
            "export the model again with its own tokenizer"
        )
    return np.ascontiguousarray(token_map)


def row_ids_numpy(
    config: EngramConfig, layer_id: int, ids: np.ndarray, history: np.ndarray | None = None
) -> np.ndarray:
    """The slow twin of `NgramHasher.row_ids`, written from the rule's text: ids int64 [n] -> int64 [n, n_heads]."""
    history = np.full(config.max_lag, DEAD, np.int64) if history is None else np.asarray(history, np.int64)
    stream = np.concatenate((np.full(config.max_lag, DEAD, np.int64), history, ids))
    n = len(ids)
    window = np.empty((config.max_lag + 1, n), np.int64)  # [lag, position]
    blocked = np.zeros(n, bool)
    for lag in range(config.max_lag + 1):
        ids_at_lag = stream[len(stream) - n - lag : len(stream) - lag]
        blocked = blocked | (ids_at_lag == DEAD)
        if lag:
            blocked = blocked | np.isin(ids_at_lag, config.segment_ids)
        window[lag] = np.where(blocked, config.fill_id, ids_at_lag)
    columns = []
    for order in config.layer(layer_id).orders:
        products = [window[lag] * multiplier for lag, multiplier in order.terms]
        mix = np.bitwise_xor.reduce(products) if config.mix == "xor" else np.add.reduce(products)
        columns += [mix % modulus + offset for modulus, offset in zip(order.moduli, order.offsets, strict=True)]
    return np.stack(columns, axis=1)
