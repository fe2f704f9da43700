"""Batches of packed documents, made on the device that trains."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .corpus import ASKED, DECISIVE, LOSS, MADE_UP, MEMORY_OFF, PAD, REHASHED, STILL

ROW_TOKENS = 256
LARGEST_SHIFT = 3_989  # of a compressed token id


@dataclass
class Batch:
    """tokens, position int64 (B, T); attention bool (B, 1, T, T); memory bool (B, T); shift int64 (B, T): what is
    added to a token's id before hashing, so that a rehashed name reads random rows, else 0; still bool (B, T): whose
    rows do not learn;
    picked int64 (M,): flat places whose next token is learnt; targets int64 (M,), -100 where unused; weights
    float32 (M,): of their losses, 0 where unused."""

    tokens: Tensor
    position: Tensor
    attention: Tensor
    memory: Tensor
    shift: Tensor
    still: Tensor
    picked: Tensor
    targets: Tensor
    weights: Tensor


class Batches:
    """An endless, seeded stream of batches: documents in a new order every epoch, packed whole into rows.

    Attention, positions, n-grams and the convolution never cross from one document into the next. A batch
    depends on (seed, step) alone, so a resumed run sees what an uninterrupted one would have seen.
    """

    def __init__(
        self,
        corpus: Path,
        rows: int,
        seed: int,
        question_drop: float,
        device: str,
        *,
        made_up: bool = True,
        decisive: float = 1.0,
    ):
        """rows: rows of ROW_TOKENS tokens a batch; question_drop: share of the documents whose question
        tokens are read without memory, so that the table cannot learn the wordings of questions; made_up: whether
        made-up values are learnt (a model without memory would learn them as if they were true); decisive: how many
        times as much the loss of a DECISIVE token counts."""
        with np.load(corpus) as data:
            self.stream = torch.from_numpy(data["tokens"].astype(np.int32)).to(device)
            self.flags = torch.from_numpy(data["flags"]).to(device)
            self.starts = torch.from_numpy(data["starts"]).to(device)
        if not made_up:
            self.flags[(self.flags & MADE_UP) > 0] &= 0xFF - LOSS
        self.lengths = self.starts.diff()
        documents = torch.arange(len(self.lengths), device=device)
        self.document = torch.repeat_interleave(documents, self.lengths).to(torch.int32)  # of each token
        self.rows, self.seed, self.question_drop, self.device = rows, seed, question_drop, device
        self.decisive = decisive
        learnt = float(((self.flags & LOSS) > 0).float().mean())
        self.n_picked = min(rows * ROW_TOKENS, int(learnt * rows * ROW_TOKENS * 1.05) + 64)
        self.epoch, self.packed = -1, torch.empty(0)
        self.epoch_steps = self._pack(0)

    def _pack(self, epoch: int) -> int:
        """Lay this epoch's documents out in rows; returns its number of batches."""
        if epoch != self.epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths))
            places, row, column = [], 0, 0
            for length in self.lengths.cpu().numpy()[order].tolist():
                if column + length > ROW_TOKENS:
                    row, column = row + 1, 0
                places.append(row * ROW_TOKENS + column)
                column += length
            n_rows = (row + 1) // self.rows * self.rows
            order_ = torch.from_numpy(order).to(self.device)
            length = self.lengths[order_]
            offset = torch.arange(int(length.sum()), device=self.device)
            offset -= torch.repeat_interleave(length.cumsum(0) - length, length)
            target = torch.repeat_interleave(torch.tensor(places, device=self.device), length) + offset
            source = torch.repeat_interleave(self.starts[order_], length) + offset
            packed = torch.full(((row + 1) * ROW_TOKENS,), -1, dtype=torch.int32, device=self.device)
            packed[target] = source.to(torch.int32)
            self.packed = packed.view(-1, ROW_TOKENS)[:n_rows]
            self.epoch = epoch
        return len(self.packed) // self.rows

    def batch(self, step: int) -> Batch:
        """The tensors of one step."""
        epoch, at = divmod(step, self.epoch_steps)
        n_steps = self._pack(epoch)
        at = min(at, n_steps - 1) * self.rows  # epochs differ by a row or two
        index = self.packed[at : at + self.rows].long()
        filled, index = index >= 0, index.clamp_min(0)
        document = torch.where(filled, self.document[index], -1)
        flags = torch.where(filled, self.flags[index], 0)
        tokens = torch.where(filled, self.stream[index], PAD).long()
        position = torch.where(filled, index - self.starts[document.long()], 0)
        attention = (document[:, None, :, None] == document[:, None, None, :]).tril()
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        draws = torch.rand(4_099, generator=generator, device=self.device)[document.long() % 4_099]  # one a document
        dropped = draws < self.question_drop
        shift = torch.where((flags & REHASHED) > 0, 1 + (draws * 1e6).long() % LARGEST_SHIFT, 0)
        still = (flags & STILL) > 0
        memory = ((flags & MEMORY_OFF) == 0) & ~(((flags & ASKED) > 0) & dropped)
        learnt = ((flags & LOSS) > 0)[:, 1:] & (document[:, 1:] == document[:, :-1])
        learnt = torch.nn.functional.pad(learnt, (0, 1)).flatten()
        picked = torch.argsort(learnt.to(torch.int8), descending=True, stable=True)[: self.n_picked]
        following = torch.roll(tokens, -1, dims=1).flatten()[picked]
        targets = torch.where(learnt[picked], following, -100)
        decisive = torch.roll((flags & DECISIVE) > 0, -1, dims=1).flatten()[picked]
        weights = torch.where(decisive, self.decisive, 1.0) * (targets >= 0)
        return Batch(tokens, position, attention, memory, shift, still, picked, targets, weights)
