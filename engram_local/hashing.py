"""Token ids -> row ids of each Engram layer's table. Knows nothing of text or of rows: integers in, integers out.

Source: arXiv 2601.07372 and its demo's NgramHashMapping; which variant a model uses is data (config.py).
"""

import numpy as np

from engram_local import _native
from engram_local.config import EngramConfig
from engram_local.errors import ConfigError

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
        self._map = token_map
        self._plans = {
            layer.layer_id: _native.HashPlan(layer.orders, config.mix, config.fill_id, config.segment_ids)
            for layer in config.layers
        }

    def ids(self, token_ids) -> np.ndarray:
        """What is hashed: token ids [n] -> (compressed) ids int64 [n]. DEAD positions stay DEAD.

        Raises TokenRangeError, naming position and id, if a token lies outside [0, vocab_size).
        """
        return _native.map_tokens(self._map, self.vocab_size, np.ascontiguousarray(token_ids, np.int64))

    def row_ids(self, token_ids, layer_id: int, history: np.ndarray | None = None) -> np.ndarray:
        """Rows of one layer's table that each token reads: int64 [n, n_heads], order-major then head.

        token_ids: [n]; history: int64 [max_lag] of `ids` (not token ids) before them, oldest first, DEAD where there is
        none (the default). Raises TokenRangeError; ConfigError for a layer that has no table.
        Example: hasher.row_ids([5, 7, 9], layer_id=1).shape -> (3, 16)  # orders 2..3, 8 heads
        """
        return self.rows_of_ids(self.ids(token_ids), layer_id, history)

    def rows_of_ids(self, ids: np.ndarray, layer_id: int, history: np.ndarray | None = None) -> np.ndarray:
        """`row_ids` for tokens that went through `ids` already: int64 [n] -> int64 [n, n_heads]."""
        plan = self._plans.get(layer_id)
        if plan is None:
            raise ConfigError(f"no Engram layer {layer_id}; the model has {list(self._plans)}")
        if history is None:
            return plan.rows(ids, 0)
        return plan.rows(np.concatenate((history, ids)), len(history))

    def new_history(self) -> np.ndarray:
        """The history before the first token: int64 [max_lag], all DEAD."""
        return np.full(self.max_lag, DEAD, np.int64)


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
    """The slow twin of `NgramHasher.rows_of_ids`, written from the rule's text: ids int64 [n] -> int64 [n, n_heads]."""
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
