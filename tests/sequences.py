"""Contexts of a backend that are driven without a session, several at a time."""

import numpy as np

from engram_local.backends.base import Work


class Given:
    """Rows that are there: {layer id: float32 [n, E]}."""

    def __init__(self, model, before: np.ndarray, tokens: np.ndarray):
        ids = np.concatenate([before, tokens])
        self.rows = {
            i: table.gather(model.hasher.row_ids(ids, i)[len(before) :].ravel()).reshape(len(tokens), -1)
            for i, table in model.tables.items()
        }

    def wait(self, layer_id: int) -> np.ndarray:
        return self.rows[layer_id]


class Sequence:
    """One context with the tokens that it should hold."""

    def __init__(self, model, memory: bool):
        self.model, self.context, self.tokens = model, model.backend.context(memory), np.zeros(0, np.int64)

    def work(self, tokens, logits="all", gates=False) -> Work:
        tokens = np.asarray(tokens, np.int64)
        rows = Given(self.model, self.tokens, tokens) if self.context.memory else None
        self.tokens = np.concatenate([self.tokens, tokens])
        return Work(self.context, tokens, rows, logits, gates)

    def rewind(self, length: int) -> None:
        assert self.context.rewind(length) == length
        self.tokens = self.tokens[:length]

    def alone(self, n: int) -> np.ndarray:
        """Logits of the last n tokens, in a session of its own."""
        session = self.model.session(self.context.memory)
        whole = session.forward(self.tokens, "all")[-n:]
        session.close()
        return whole
