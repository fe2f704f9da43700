"""What was learnt and what changed: whole answers, with memory and without; text that should have stayed as it was.

An answer counts when, at every one of its tokens and its end, the likeliest token is the right one; greedy decoding
would then write exactly this answer.
"""

from collections import defaultdict

import numpy as np
import torch

from .documents import Chat, Documents, collate
from .facts import Item
from .model import TaughtModel
from .own_text import divergence


def right(model: TaughtModel, chat: Chat, items: list[Item], *, memory: bool = True, batch: int = 64) -> list[bool]:
    """Of each item, whether its whole answer follows its question."""
    documents = Documents.encode(chat, items)
    order = np.argsort(documents.lengths(), kind="stable")
    found = np.zeros(len(items), bool)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        given = collate(documents, chosen, np.zeros(len(chosen), bool), model.device)
        with torch.inference_mode():
            hidden = model.hidden_states(given.tokens, given.chat, memory and given.memory).flatten(0, 1)
            right_ones = model.logits(hidden[given.picked]).argmax(-1) == given.targets
        wrong = given.picked[~right_ones].cpu().numpy() // given.tokens.shape[1]
        found[chosen] = ~np.isin(np.arange(len(chosen)), wrong)
    return found.tolist()


def shares(items: list[Item], oks: list[bool]) -> dict:
    """{"all": share of right ones, "kinds": {kind: share}, "macro": mean over the kinds}."""
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for item, ok in zip(items, oks, strict=True):
        by_kind[item.kind].append(ok)
    kinds = {kind: sum(x) / len(x) for kind, x in sorted(by_kind.items())}
    return {"all": sum(oks) / len(oks), "macro": sum(kinds.values()) / len(kinds), "kinds": kinds}


def texts(model: TaughtModel, chat: Chat, paragraphs: list[str], length: int = 128, batch: int = 16) -> dict:
    """What the memory does to text that holds none of the facts: {"divergence": nats a token from the frozen model,
    "perplexity": with memory, "perplexity_off": without, "tokens"}. Paragraphs of fewer than 16 tokens are left out.
    """
    encoded = [x.ids[:length] for x in chat.tokenizer.core.encode_batch(paragraphs, add_special_tokens=False)]
    encoded = sorted((x for x in encoded if len(x) >= 16), key=len)
    totals, n = torch.zeros(3, dtype=torch.float64), 0
    for start in range(0, len(encoded), batch):
        part = encoded[start : start + batch]
        tokens = torch.zeros((len(part), len(part[-1])), dtype=torch.long)
        for row, ids in zip(tokens, part, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        inside = (torch.arange(tokens.shape[1]) < torch.tensor([len(x) - 1 for x in part])[:, None]).to(model.device)
        tokens = tokens.to(model.device)
        following = torch.roll(tokens, -1, dims=1)[inside]
        with torch.inference_mode():
            on = model.hidden_states(tokens, chat=False)[inside]
            off = model.hidden_states(tokens, chat=False, memory=False)[inside]
            losses = [torch.nn.functional.cross_entropy(model.logits(x), following) for x in (on, off)]
            means = torch.stack([divergence(model, on, off), *losses]).double().cpu()
        totals += means * len(following)
        n += len(following)
    kl, loss, loss_off = (totals / max(n, 1)).tolist()
    return {"divergence": kl, "perplexity": float(np.exp(loss)), "perplexity_off": float(np.exp(loss_off)), "tokens": n}
