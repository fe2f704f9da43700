"""Facts as token ids, and batches of them.

A document is what follows the chat's fixed beginning: `question, what announces the answer | answer, its end`. A text
has no question and follows nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engram_local.tokenization import Tokenizer

from . import ranks
from .facts import FactsError, Item

LONGEST = 256  # tokens of a document; longer ones are cut
MARK = "\x00"
AT_ONCE = 32_768  # tokens that are computed together, on each rank: what a GPU of 80 GB has room for
SORTED = 16  # batches whose documents are sorted by length together, so that little is padded


class Chat:
    """How the base model's chat looks in token ids: a fixed beginning, then question, announcement, answer, end."""

    def __init__(self, folder: Path, end_id: int):
        """end_id: ends an answer where there is no chat template; questions and answers are then lines."""
        self.tokenizer = Tokenizer(folder)
        self.end = [end_id]
        self._head, self._tail, self._between = "", "\n", "\n"
        if self.tokenizer.template is not None:
            user = {"role": "user", "content": MARK}
            self._head, self._tail = self.tokenizer.template.render([user]).split(MARK)
            turn = [user, {"role": "assistant", "content": MARK}]
            self._between = self.tokenizer.template.render([*turn, user]).split(MARK)[2]
            after = self.tokenizer.template.render(turn, add_generation_prompt=False).split(MARK)[-1].strip()
            self.end = self._encode([after])[0][:1] or self.end
        probes = self._encode([f"{self._head}{x}{self._tail}" for x in ("What", "an", "7", "(")])
        self.prefix = probes[0]
        for ids in probes[1:]:
            same = [a == b for a, b in zip(self.prefix, ids, strict=False)]
            self.prefix = self.prefix[: (*same, False).index(False)]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [x.ids for x in self.tokenizer.core.encode_batch(texts, add_special_tokens=False)]

    def _asked(self, item: Item) -> str:
        """All that comes before the answer."""
        before = "".join(f"{x.question}{self._tail}{x.answer}{self._between}" for x in item.before)
        return f"{self._head}{before}{item.question}{self._tail}"

    def encode(self, items: list[Item]) -> list[tuple[list[int], int]]:
        """Of each item: the ids after the prefix, and how many of them come before the answer (0: a text, which has no
        prefix either). Raises FactsError where the prefix is not what every chat begins with."""
        asked = self._encode([self._asked(x) if x.question else "" for x in items])
        answers = self._encode([x.answer for x in items])
        documents, n = [], len(self.prefix)
        for item, question, answer in zip(items, asked, answers, strict=True):
            if item.question and question[:n] != self.prefix:
                raise FactsError(f"{item.question[:60]!r}: changes how the tokenizer reads the chat before it")
            question = question[n:]
            documents.append(((question + answer + self.end)[:LONGEST], len(question)))
        return documents


@dataclass(frozen=True)
class Documents:
    """Many documents in three flat arrays."""

    tokens: np.ndarray  # int32 (n_tokens,)
    starts: np.ndarray  # int64 (n + 1,)
    n_asked: np.ndarray  # int32 (n,): tokens before the answer

    def __len__(self) -> int:
        return len(self.n_asked)

    def lengths(self) -> np.ndarray:
        """Tokens of each document, int64 [n]."""
        return np.diff(self.starts)

    @classmethod
    def encode(cls, chat: Chat, items: Iterable[Item], block: int = 50_000) -> "Documents":
        """Documents of `items`, `block` of them tokenized at once."""
        tokens, lengths, n_asked, waiting = [], [], [], []

        def flush() -> None:
            for ids, n in chat.encode(waiting):
                tokens.append(np.array(ids, np.int32))
                lengths.append(len(ids))
                n_asked.append(n)
            waiting.clear()

        for item in items:
            waiting.append(item)
            if len(waiting) == block:
                flush()
        flush()
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(np.concatenate(tokens), starts, np.array(n_asked, np.int32))

    def save(self, path: Path) -> None:
        """Write them as one npz file."""
        temporary = path.with_suffix(".partial.npz")
        np.savez_compressed(temporary, tokens=self.tokens, starts=self.starts, n_asked=self.n_asked)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Documents":
        """What `save` wrote."""
        with np.load(path) as data:
            return cls(data["tokens"], data["starts"], data["n_asked"])


@dataclass
class Batch:
    """tokens int64 (B, T), padded on the right; memory bool (B, T); picked int64 (M,): flat places whose next token is
    learnt; targets int64 (M,): those tokens; chat: the rows follow the chat's prefix; share: M in all that is learnt
    in this step."""

    tokens: Tensor
    memory: Tensor
    picked: Tensor
    targets: Tensor
    chat: bool
    share: float = 1.0


def collate(documents: Documents, chosen: np.ndarray, without: np.ndarray, device: torch.device) -> Batch:
    """The documents `chosen`, all chats or all texts; `without` bool (B,): their questions are read without memory."""
    starts, n_asked = documents.starts[chosen][:, None], documents.n_asked[chosen]
    lengths = documents.starts[chosen + 1][:, None] - starts
    place = np.arange(-(-int(lengths.max()) // 8) * 8)[None]
    tokens = documents.tokens[np.minimum(starts + place, len(documents.tokens) - 1)]
    tokens = np.where(place < lengths, tokens, 0).astype(np.int64)
    first = np.maximum(n_asked - 1, 0)[:, None]  # where the answer's first token is foretold
    picked = np.flatnonzero((place >= first) & (place < lengths - 1))

    def on_device(array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor

    memory = (place >= first) | ~without[:, None]
    arrays = tokens, memory, picked, tokens.ravel()[picked + 1]
    return Batch(*map(on_device, arrays), chat=bool(n_asked[0]))


class Batches:
    """An endless, seeded stream of batches; batch number `step` depends on (seed, step, rank) alone, so that a resumed
    run sees what an uninterrupted one would have seen. The ranks' batches together are one of `size` times as many."""

    def __init__(self, documents: Documents, size: int, seed: int, question_drop: float, device: torch.device):
        """size: documents a batch of one rank; question_drop: share of the questions that are read without memory."""
        self.documents, self.size, self.seed, self.device = documents, size * ranks.n_ranks(), seed, device
        self.question_drop = question_drop
        self._epoch, self._batches = -1, []
        self.epoch_steps = len(self._lay_out(0))

    def _lay_out(self, epoch: int) -> list[np.ndarray]:
        """This epoch's batches: documents of about the same length together, in a new order every time."""
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            lengths, found = self.documents.lengths(), []
            for is_chat in (True, False):
                order = rng.permutation(np.flatnonzero((self.documents.n_asked > 0) == is_chat))
                for start in range(0, len(order), SORTED * self.size):
                    part = order[start : start + SORTED * self.size]
                    part = part[np.argsort(lengths[part], kind="stable")]
                    found += [part[i : i + self.size] for i in range(0, len(part), self.size)]
            self._epoch, self._batches = epoch, [found[i] for i in rng.permutation(len(found))]
        return self._batches

    def batch(self, step: int) -> list[Batch]:
        """The documents of one step, those of this rank; in parts where they are long."""
        epoch, at = divmod(step, self.epoch_steps)
        chosen = self._lay_out(epoch)[at]
        chosen = np.resize(chosen, max(len(chosen), ranks.n_ranks()))  # each rank gets one
        without = np.random.default_rng([self.seed, 1, step]).random(len(chosen)) < self.question_drop
        lengths = self.documents.starts[chosen + 1] - self.documents.starts[chosen]
        n_learnt = int((lengths - np.maximum(self.documents.n_asked[chosen], 1)).sum())  # by all ranks
        chosen, without, lengths = (x[ranks.rank() :: ranks.n_ranks()] for x in (chosen, without, lengths))
        n_parts = -(-len(chosen) * int(lengths.max()) // AT_ONCE)
        parts = zip(np.array_split(chosen, n_parts), np.array_split(without, n_parts), strict=True)
        batches = [collate(self.documents, *part, self.device) for part in parts]
        for batch in batches:
            batch.share = len(batch.picked) / n_learnt
        return batches
