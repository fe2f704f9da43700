"""Text that the frozen model itself wrote: where the memory must stay silent.

A third of it are texts from a random first token, a third begin with words of what is taught, a third are chats in
which the model also writes the user's part. With each text lie the model's last hidden states without memory, so that
the distribution to keep costs no forward pass.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from engram_local.progress import Progress

from . import ranks
from .documents import Chat, Documents
from .model import TaughtModel


@dataclass(frozen=True)
class OwnText:
    """tokens int64 (n, T); hidden (n, T, d), of the backbone's type; chat: they follow the chat's prefix."""

    tokens: Tensor
    hidden: Tensor
    chat: bool


def starts(documents: Documents, n: int, vocab_size: int, seed: int) -> dict[str, Tensor]:
    """First tokens of the texts, int64 (n, k). text: a random token; about: three tokens in a row of some document, so
    that the model writes about what is taught; chat: nothing."""
    rng = np.random.default_rng([seed, 2])
    long = np.flatnonzero(documents.lengths() >= 3)
    chosen = rng.choice(long, n)
    first = documents.starts[chosen] + rng.integers(0, documents.lengths()[chosen] - 2)
    about = documents.tokens[first[:, None] + np.arange(3)]
    empty = np.zeros((n, 0), np.int64)
    found = {"text": rng.integers(0, vocab_size, (n, 1)), "about": about, "chat": empty}
    return {name: torch.from_numpy(x.astype(np.int64)) for name, x in found.items()}


def write(model: TaughtModel, begun: Tensor, length: int, seed: int, batch: int, progress: Progress) -> Tensor:
    """int32 (n, length) on the CPU: texts that the backbone samples, memory off, from their first tokens `begun` int64
    (n, k); with k = 0 chats, whose user's part it writes too."""
    generator = torch.Generator(model.device).manual_seed(seed)
    texts = []
    for start in range(0, len(begun), batch):
        text = begun[start : start + batch].to(model.device)
        if begun.shape[1]:
            cache, following = DynamicCache(), text
        else:
            cache = model.cache(len(text))
            cache.crop(-1)  # its last token is read once more: what it foretells is the first sample
            following = torch.full((len(text), 1), model.prefix[-1], device=model.device)
        while text.shape[1] < length:
            with torch.inference_mode():
                hidden = model.decode(following, cache)[:, -1]
                following = torch.multinomial((model.logits(hidden) / 0.9).softmax(-1), 1, generator=generator)
            text = torch.cat([text, following], 1)
        texts.append(text.to("cpu", torch.int32))
        progress("text of the frozen model", min(start + batch, len(begun)), len(begun), "texts")
    return torch.cat(texts)


def cut(chat: Chat, texts: list[str], length: int) -> Tensor:
    """int32 (n, length): `texts` one after the other, cut into rows."""
    encoded = chat.tokenizer.core.encode_batch([x + "\n" for x in texts], add_special_tokens=False)
    ids = torch.tensor([i for x in encoded for i in x.ids], dtype=torch.int32)
    return ids[: len(ids) // length * length].view(-1, length)


def with_hidden(model: TaughtModel, tokens: Tensor, chat: bool, batch: int) -> OwnText:
    """Adds what the backbone makes of `tokens` (n, T) without memory."""
    tokens = tokens.long().to(model.device)
    with torch.inference_mode():
        hidden = [model.hidden_states(tokens[i : i + batch], chat, memory=False) for i in range(0, len(tokens), batch)]
    return OwnText(tokens, torch.cat(hidden).clone(), chat)


def hold_out(texts: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One in forty for the figures, and the rest."""
    n = {name: max(1, len(x) // 40) for name, x in texts.items()}
    return {name: x[: n[name]] for name, x in texts.items()}, {name: x[n[name] :] for name, x in texts.items()}


def divergence(model: TaughtModel, hidden: Tensor, own: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence a token from the frozen model's distributions to the taught one's, in nats.

    hidden (..., d): last hidden states with memory; own (..., d): without.
    """
    taught, frozen = model.logits(hidden).log_softmax(-1), model.logits(own).log_softmax(-1)
    return (frozen.exp() * (frozen - taught)).sum(-1).mean()


def held_out(model: TaughtModel, own: OwnText, batch: int = 64) -> float:
    """`divergence` over texts that were kept out of training."""
    total = 0.0
    with torch.inference_mode():
        for i in range(0, len(own.tokens), batch):
            part = own.tokens[i : i + batch]
            hidden = model.hidden_states(part, own.chat)
            total += float(divergence(model, hidden, own.hidden[i : i + batch])) * len(part)
    return total / len(own.tokens)


def load_or_write(
    model: TaughtModel,
    documents: Documents,
    folder: Path,
    n: int,
    length: int,
    seed: int,
    batch: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """`n` texts in all, of the sorts of `starts`: int32 (about n / 3, length) each, kept in `folder` for a run that
    goes on. Each rank writes its share of them."""
    path, made = folder / "own_text.npz", {"n": n, "length": length, "seed": seed}
    if path.exists():
        with np.load(path) as data:
            if json.loads(str(data["made"])) == made:
                return {name: torch.from_numpy(data[name]) for name in data.files if name != "made"}
    n_each = -(-n // (3 * ranks.n_ranks())) * ranks.n_ranks()
    begun = starts(documents, n_each, len(model.token_map), seed)
    if not model.prefix:
        del begun["chat"]
    texts = {}
    for i, (name, first) in enumerate(begun.items()):
        part = write(model, ranks.share(first), length, seed + i + 1_000 * ranks.rank(), batch, progress)
        texts[name] = ranks.gather(part.to(model.device)).cpu()
    if not ranks.rank():
        np.savez(path, made=json.dumps(made), **{k: v.numpy() for k, v in texts.items()})
    return texts
