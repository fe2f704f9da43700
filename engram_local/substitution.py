"""Names whose n-grams read the rows of other names: what is hashed is changed, what the backbone sees is not.

It shows that the key decides: with France read as Japan, a model says that the capital of France is Tokyo.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from engram_local.errors import UsageError
from engram_local.hashing import NgramHasher


class _Name(NamedTuple):
    ids: np.ndarray  # int64 [n], as the hashes read it
    others: np.ndarray  # int64 [n], the ids that stand in for them
    tokens: np.ndarray  # int64 [n], the tokens of these


class Substitution:
    """Names of one model and what they are read as. Immutable; sessions may share it.

    A name counts as soon as its last token is there: from that token on the hashes see the other name in its place. The
    tokens before it have read their own rows by then. So the rows of a token depend on nothing behind it, and a text
    gives the same rows however it is cut into chunks.
    """

    def __init__(self, hasher: NgramHasher, names: Sequence[tuple[Sequence[int], Sequence[int]]]):
        """names: (token ids of a name, token ids that it is read as), equally many. Of two names that end at one token
        the longer one counts. Raises UsageError."""
        for name, other in names:
            if len(name) != len(other) or not len(name):
                raise UsageError(f"a name of {len(name)} tokens cannot be read as one of {len(other)}")
        self.hasher = hasher
        tokens = [(np.asarray(name, np.int64), np.asarray(other, np.int64)) for name, other in names]
        self._names = sorted(
            (_Name(hasher.ids(name), hasher.ids(other), other) for name, other in tokens), key=lambda x: len(x.ids)
        )
        self.longest = max((len(x.ids) for x in self._names), default=0)  # tokens of a name

    def row_ids(self, layer_id: int, ids: np.ndarray, n_before: int) -> np.ndarray:
        """Rows of one layer's table that tokens read: int64 [n, n_heads].

        Parameters: ids: int64 [n_before + n], what `NgramHasher.ids` gave; n_before: those in front that are looked
                    back on, at least the hasher's max_lag and `longest` - 1 more where the text has as many.
        """
        max_lag, plan = self.hasher.max_lag, self.hasher.row_ids_of
        seen, begin, parts = ids.copy(), n_before, []
        for end, name in self._found(ids):  # of the name: its last token
            if end > begin:
                parts.append(plan(seen[begin - max_lag : end], layer_id, max_lag))
                begin = end
            seen[end + 1 - len(name.ids) : end + 1] = name.others
        parts.append(plan(seen[begin - max_lag :], layer_id, max_lag))
        return np.concatenate(parts)

    def tokens_seen(self, tokens: np.ndarray) -> np.ndarray:
        """int64 tokens [n] with the other names in place, as the hashes see them once all are there."""
        seen = tokens.copy()
        for end, name in self._found(self.hasher.ids(tokens)):
            seen[end + 1 - len(name.ids) : end + 1] = name.tokens
        return seen

    def _found(self, ids: np.ndarray) -> list[tuple[int, _Name]]:
        """(position of the last token, name) of every name in `ids`, in order; of one position the longest last."""
        found = []
        for name in self._names:
            n = len(name.ids)
            if n <= len(ids):
                windows = np.lib.stride_tricks.sliding_window_view(ids, n)
                found += [(int(i) + n - 1, name) for i in np.flatnonzero((windows == name.ids).all(1))]
        return sorted(found, key=lambda x: x[0])
