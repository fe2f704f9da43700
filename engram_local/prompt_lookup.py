"""Drafts for speculative decoding out of the context itself: where its last tokens stood before, what followed them.

Prompt lookup (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding) without its search: the last place of every
n-gram is kept, so a draft costs the same at any length of the context.
"""

from collections.abc import Iterable

ORDERS = (5, 4, 3)  # tokens that must agree, most first; pairs recur by chance in any text
FIRST_DRAFT = 2  # tokens; what is right makes drafts longer, what is wrong shorter
MOST_SKIPPED = 32  # places where nothing is drafted after drafts that were wrong


class PromptLookup:
    """The tokens of one sequence, and drafts of what comes next.

    Drafts adapt: one that was wholly right doubles the next, one that was wholly wrong has the next places skipped, so
    that text which only seems to repeat costs little.
    """

    def __init__(self, most: int):
        """`most`: tokens of the longest draft, from 1."""
        self._most = most
        self._length = min(FIRST_DRAFT, most)
        self._tokens: list[int] = []
        self._ends: list[dict[tuple[int, ...], int]] = [{} for _ in ORDERS]  # n-gram -> the position behind it
        self._n_wrong = self._skip = 0

    def extend(self, token_ids: Iterable[int]) -> None:
        """Tokens that the sequence has gained. An n-gram is known once a token follows it."""
        for token in token_ids:
            end = len(self._tokens)
            for order, ends in zip(ORDERS, self._ends, strict=True):
                if end >= order:
                    ends[tuple(self._tokens[end - order :])] = end
            self._tokens.append(int(token))

    def draft(self, most: int) -> list[int]:
        """Up to `most` tokens that may follow; none where the end of the sequence has not been there before."""
        if self._skip:
            self._skip -= 1
            return []
        for order, ends in zip(ORDERS, self._ends, strict=True):
            begin = ends.get(tuple(self._tokens[-order:]))
            if begin is not None:
                return self._tokens[begin : begin + min(most, self._length)]
        return []

    def learn(self, n_drafted: int, n_right: int) -> None:
        """How many tokens of the last draft were right."""
        if n_right == n_drafted:
            self._length = min(2 * self._length, self._most)
            self._n_wrong = 0
        elif n_right:
            self._length = max(n_right, 1)
            self._n_wrong = 0
        else:
            self._length = min(FIRST_DRAFT, self._most)
            self._skip = min(2**self._n_wrong, MOST_SKIPPED)
            self._n_wrong += 1
