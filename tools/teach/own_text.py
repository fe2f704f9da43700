"""Text that the frozen model itself wrote: where the memory must stay silent.

Half of it are texts from a random first token, half chats in which the model also writes the user's part. With each
text lie the model's last hidden states without memory, so that the distribution to keep costs no forward pass.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from engram_local.progress import Progress

from .model import TaughtModel


@dataclass(frozen=True)
class OwnText:
    """tokens int64 (n, T); hidden (n, T, d), of the backbone's type; chat: they follow the chat's prefix."""

    tokens: Tensor
    hidden: Tensor
    chat: bool


def write(model: TaughtModel, n: int, length: int, chat: bool, seed: int, batch: int, progress: Progress) -> Tensor:
    """int32 (n, length) on the CPU: `n` texts of `length` tokens that the backbone samples, memory off."""
    generator = torch.Generator(model.device).manual_seed(seed)
    texts = []
    for start in range(0, n, batch):
        size = min(batch, n - start)
        if chat and model.prefix:
            cache = model.cache(size)
            cache.crop(-1)  # its last token is read once more: what it foretells is the first sample
            following = torch.full((size, 1), model.prefix[-1], device=model.device)
            text = following[:, :0]
        else:
            cache, n_ids = DynamicCache(), len(model.token_map)
            text = following = torch.randint(n_ids, (size, 1), generator=generator, device=model.device)
        while text.shape[1] < length:
            with torch.inference_mode():
                hidden = model.decode(following, cache)[:, -1]
                following = torch.multinomial((model.logits(hidden) / 0.9).softmax(-1), 1, generator=generator)
            text = torch.cat([text, following], 1)
        texts.append(text.to("cpu", torch.int32))
        progress("text of the frozen model", start + size, n, "texts")
    return torch.cat(texts)


def with_hidden(model: TaughtModel, tokens: Tensor, chat: bool, batch: int) -> OwnText:
    """Adds what the backbone makes of `tokens` (n, T) without memory."""
    tokens = tokens.long().to(model.device)
    with torch.inference_mode():
        hidden = [model.hidden_states(tokens[i : i + batch], chat, memory=False) for i in range(0, len(tokens), batch)]
    return OwnText(tokens, torch.cat(hidden).clone(), chat)


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
    model: TaughtModel, folder: Path, n: int, length: int, seed: int, batch: int, progress: Progress
) -> dict[str, Tensor]:
    """{"text": ..., "chat": ...} int32 (n // 2, length), kept in `folder` for a run that goes on."""
    path, made = folder / "own_text.npz", {"n": n, "length": length, "seed": seed}
    if path.exists():
        with np.load(path) as data:
            if json.loads(str(data["made"])) == made:
                return {name: torch.from_numpy(data[name]) for name in ("text", "chat")}
    texts = {
        name: write(model, n // 2, length, name == "chat", seed + i, batch, progress)
        for i, name in enumerate(("text", "chat"))
    }
    np.savez(path, made=json.dumps(made), **{k: v.numpy() for k, v in texts.items()})
    return texts
