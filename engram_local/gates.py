"""How far each Engram layer's gate opened at each token of a text, and which n-gram the token looked up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engram_local.session import Session


@dataclass(frozen=True)
class TokenGates:
    """One token. `ngram` is the longest n-gram that it looked up, as the hashes see it; `gates` {layer_id: 0 (shut) to
    1}, the widest of the layer's streams."""

    token_id: int
    text: str
    ngram: str
    gates: dict[int, float]


def read_gates(session: Session, token_ids: Sequence[int]) -> list[TokenGates]:
    """Evaluate tokens behind the session's context and tell what their lookups brought, one entry a token; empty where
    the model's layers have no gate or the session has no memory.

    Raises as Session.forward does.
    Example: read_gates(model.session(), model.prompt_ids("What is the capital of France?"))
    """
    model, begin = session.model, session.length
    session.forward(token_ids, "none", gates=True)
    gates = {layer_id: of_layer.max(axis=1) for layer_id, of_layer in session.gates.items()}
    if not gates:
        return []
    tokens = np.array(session.tokens)
    decode, hasher, substitution = model.tokenizer.decode, model.hasher, session.substitution
    ends = np.isin(hasher.ids(tokens), hasher.config.segment_ids)  # where an n-gram reaches no further back
    found = []
    for i, position in enumerate(range(begin, len(tokens))):
        first = position
        while first > 0 and position - first < hasher.max_lag and not ends[first - 1]:
            first -= 1
        ngram = tokens[first : position + 1]
        if substitution is not None:
            text = tokens[max(0, first - substitution.longest + 1) : position + 1]
            ngram = substitution.tokens_seen(text)[-len(ngram) :]
        opened = {layer_id: float(of_layer[i]) for layer_id, of_layer in gates.items()}
        found.append(
            TokenGates(int(tokens[position]), decode([tokens[position]], False), decode(ngram.tolist(), False), opened)
        )
    return found
