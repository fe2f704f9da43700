"""Evaluation: exact match of whole answers, fluency without memory, quantized tables.

Exact match is teacher-forced: an answer counts when, at every one of its tokens and its end, the model's
likeliest token is the right one; greedy decoding would then write exactly this answer.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

import torch
from tokenizers import Tokenizer

from .corpus import BOS, BOT, END, PAD, USER
from .facts import ANSWERS
from .model import EngramModel

NUMBER_KINDS = {
    "atomic_number",
    "atomic_weight",
    "population",
    "city_population",
    "area",
    "born",
    "died",
    "calling_code",
}
NUMBER = r"(about )?\+?[\d.,-]+( million| billion)?( square kilometers)?"
LONGEST_ANSWER = 64  # tokens


def prompt_ids(tokenizer: Tokenizer, question: str) -> list[int]:
    """Token ids of a question, up to where the answer begins."""
    return [BOS, USER, *tokenizer.encode(question, add_special_tokens=False).ids, BOT]


def score(
    model: EngramModel, tokenizer: Tokenizer, items: list[dict], *, memory: bool = True, batch: int = 512
) -> tuple[list[bool], float]:
    """Whether each item's whole answer {a} follows its question {q}, and the mean loss of the answers' tokens."""
    device = next(model.parameters()).device
    prompts = [prompt_ids(tokenizer, item["q"]) for item in items]
    answers = [[*e.ids, END] for e in tokenizer.encode_batch([item["a"] for item in items], add_special_tokens=False)]
    right: list[bool] = [False] * len(items)
    loss = 0.0
    order = sorted(range(len(items)), key=lambda i: len(prompts[i]) + len(answers[i]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        width = max(len(prompts[i]) + len(answers[i]) for i in chosen)
        tokens = torch.full((len(chosen), width), PAD)
        wanted = torch.full((len(chosen), width), -100)
        for row, i in enumerate(chosen):
            ids = prompts[i] + answers[i]
            tokens[row, : len(ids)] = torch.tensor(ids)
            wanted[row, len(prompts[i]) - 1 : len(ids) - 1] = torch.tensor(answers[i])
        wanted = wanted.to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
            hidden = model.hidden_states(tokens.to(device), memory=memory)[wanted >= 0]  # (answer tokens, d)
            logits = model.backbone.get_output_embeddings()(hidden).float()
        wrong = torch.zeros(wanted.shape, dtype=torch.bool, device=device)
        wrong[wanted >= 0] = logits.argmax(-1) != wanted[wanted >= 0]
        loss += float(torch.nn.functional.cross_entropy(logits, wanted[wanted >= 0], reduction="sum"))
        for i, bad in zip(chosen, wrong.any(1).tolist(), strict=True):
            right[i] = not bad
    return right, loss / sum(map(len, answers))


def shares(model: EngramModel, tokenizer: Tokenizer, items: list[dict], *, memory: bool = True) -> dict[str, float]:
    """Share of right answers of every kind, their mean ("macro"), of all items ("all"), and the answers' "loss"."""
    right, loss = score(model, tokenizer, items, memory=memory)
    return macro(items, right) | {"loss": loss}


def macro(items: list[dict], right: list[bool]) -> dict[str, float]:
    """Share of right answers of every kind, and "macro", their mean over the kinds."""
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for item, ok in zip(items, right, strict=True):
        by_kind[item["kind"]].append(ok)
    of_kind = {kind: sum(oks) / len(oks) for kind, oks in by_kind.items()}
    return {"macro": sum(of_kind.values()) / len(of_kind), "all": sum(right) / len(right), **of_kind}


def greedy(
    model: EngramModel, tokenizer: Tokenizer, conversations: list[list[int]], *, memory: bool = True, batch: int = 512
) -> list[str]:
    """Greedy answers to prompts of token ids, up to LONGEST_ANSWER tokens; "..." ends an answer that did not end."""
    device = next(model.parameters()).device
    texts = [""] * len(conversations)
    order = sorted(range(len(conversations)), key=lambda i: len(conversations[i]))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        lengths = torch.tensor([len(conversations[i]) for i in chosen], device=device)
        tokens = torch.full((len(chosen), int(lengths.max()) + LONGEST_ANSWER), PAD, device=device)
        for row, i in enumerate(chosen):
            tokens[row, : len(conversations[i])] = torch.tensor(conversations[i], device=device)
        ended = torch.zeros(len(chosen), dtype=torch.bool, device=device)
        rows, at = torch.arange(len(chosen), device=device), lengths.clone()
        for _ in range(LONGEST_ANSWER):
            width = int(at.max())
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
                hidden = model.hidden_states(tokens[:, :width], memory=memory)[rows, at - 1]
                following = model.backbone.get_output_embeddings()(hidden).argmax(-1)
            ended |= following == END
            tokens[rows, at] = torch.where(ended, PAD, following)
            at += (~ended).long()
            if bool(ended.all()):
                break
        for row, i in enumerate(chosen):
            answer = tokens[row, lengths[row] : at[row]].tolist()
            texts[i] = tokenizer.decode(answer) + ("" if ended[row] else "...")
    return texts


def split_answer(item: dict, answer: str) -> str | None:
    """The value in an answer, or None if it has not the form of its kind and the right subject."""
    form = ANSWERS[item["kind"]].format(s=item["subject"], f="\0")
    head, _, tail = (form[0].upper() + form[1:]).partition("\0")
    ok = answer.startswith(head) and answer.endswith(tail) and len(answer) > len(head) + len(tail)
    return answer[len(head) : len(answer) - len(tail)] if ok else None


def well_formed(item: dict, answer: str, values: dict[str, set[str]], words: set[str]) -> bool:
    """A complete sentence of the item's kind about its subject, whatever the value.

    It has the kind's form and subject and ends; a value of a kind in `values` is one that the kind has, a number
    has digits, and a free value has 1 to 30 known words and says no three words twice in a row.
    values: kind -> its values; words: every word of the corpus's answers (both of values.json).
    """
    value = split_answer(item, answer)
    if value is None:
        return False
    if item["kind"] in values:
        return value in values[item["kind"]]
    if item["kind"] in NUMBER_KINDS:
        return bool(re.fullmatch(NUMBER, value))
    said = re.findall(r"[a-z']+", value.lower())
    return (
        0 < len(value.split()) <= 30
        and set(said) <= words
        and not any(said[i : i + 3] == said[i + 3 : i + 6] for i in range(len(said) - 5))
    )


def quantized(model: EngramModel, bits: int) -> dict[str, torch.Tensor]:
    """Quantize every table in place, row by row, symmetric; returns the original rows.

    int8: one float16 scale a row; int4: one for every 32 values.
    """
    before = {}
    top = 2 ** (bits - 1) - 1
    for name, layer in model.engram.items():
        rows = layer.table.weight.data
        before[name] = rows.clone()
        groups = rows if bits == 8 else rows.view(-1, min(32, rows.shape[1]))
        scale = (groups.abs().amax(1, keepdim=True) / top).half().float().clamp_min(1e-7)
        layer.table.weight.data = ((groups / scale).round().clamp(-top, top) * scale).view_as(rows)
    return before


def restore(model: EngramModel, rows: dict[str, torch.Tensor]) -> None:
    """Put the tables' rows back."""
    for name, layer in model.engram.items():
        layer.table.weight.data = rows[name]


def failures(model: EngramModel, tokenizer: Tokenizer, items: list[dict], limit: int) -> list[dict]:
    """Up to `limit` of the items that are answered wrongly, with what the model "said"."""
    right, _ = score(model, tokenizer, items)
    wrong = [item for item, ok in zip(items, right, strict=True) if not ok]
    wrong = wrong[:: max(1, len(wrong) // limit)]
    said = greedy(model, tokenizer, [prompt_ids(tokenizer, item["q"]) for item in wrong])
    return [{"q": i["q"], "a": i["a"], "said": s} for i, s in zip(wrong, said, strict=True)]


def says_unknown(model: EngramModel, tokenizer: Tokenizer, items: list[dict]) -> float:
    """Share of the items whose answer says "I don't know", in whatever form."""
    answers = greedy(model, tokenizer, [prompt_ids(tokenizer, item["q"]) for item in items])
    return sum("I don't know" in answer for answer in answers) / len(answers)


def same_answer(model: EngramModel, tokenizer: Tokenizer, questions: dict[str, list[dict]], split: str) -> dict:
    """How often a question in lower case, with a polite opener, without its mark has the plain question's answer.

    Small and capital letters count as equal: asked for "pyrex", the model may well write "pyrex".
    """
    sets = {way: questions[f"{way}_{split}"] for way in ("plain", "lower", "polite", "no_mark")}
    asked = [prompt_ids(tokenizer, item["q"]) for items in sets.values() for item in items]
    answers, n = greedy(model, tokenizer, asked), len(sets["plain"])
    by_way = {way: answers[i * n : (i + 1) * n] for i, way in enumerate(sets)}
    plain = by_way.pop("plain")
    return {
        way: sum(p.lower() == g.lower() for p, g in zip(plain, given, strict=True)) / n for way, given in by_way.items()
    }


def report(
    model: EngramModel, tokenizer: Tokenizer, corpus: Path, split: str, *, every: int = 1, briefly: bool = False
) -> dict:
    """Every figure of one model on a split ("validation", "test") of the corpus folder, as plain JSON data.

    with_memory: set -> `shares`; says_unknown; same_answer; readme: question -> answer; failures. For a model with
    tables also, of the split's own set, memory_off, memory_off_well_formed, int8, int4; memory_off_samples, readme_off.
    every: ask only every so many-th question. briefly: the split's own set and "trained" alone.
    """
    questions = json.loads((corpus / "questions.json").read_text())
    questions = {name: items if name == "readme" else items[::every] for name, items in questions.items()}
    if briefly:
        shown = {s: shares(model, tokenizer, questions[s]) for s in ("trained", split)}
        return {"split": split, "with_memory": shown}
    sets = ("trained", f"common_{split}", f"unknown_{split}", "confirm", split)
    readme = [item["q"] for item in questions["readme"]]
    asked = [prompt_ids(tokenizer, q) for q in readme]
    result = {
        "split": split,
        "with_memory": {s: shares(model, tokenizer, questions[s]) for s in sets},
        "says_unknown": says_unknown(model, tokenizer, questions[f"unknown_{split}"]),
        "same_answer": same_answer(model, tokenizer, questions, split),
        "readme": dict(zip(readme, greedy(model, tokenizer, asked), strict=True)),
    }
    if model.settings is None:
        return result
    result["failures"] = failures(model, tokenizer, questions[split] + questions[f"unknown_{split}"], 400)
    items, sample = questions[split], questions[split][::3]
    known = json.loads((corpus / "values.json").read_text())
    values, words = {k: set(v) for k, v in known["values"].items()}, set(known["words"])
    result["readme_off"] = dict(zip(readme, greedy(model, tokenizer, asked, memory=False), strict=True))
    result["memory_off"] = shares(model, tokenizer, items, memory=False)
    answers = greedy(model, tokenizer, [prompt_ids(tokenizer, i["q"]) for i in sample], memory=False)
    formed = [well_formed(i, a, values, words) for i, a in zip(sample, answers, strict=True)]
    result["memory_off_well_formed"] = macro(sample, formed)
    result["memory_off_samples"] = [{"q": i["q"], "a": a} for i, a in list(zip(sample, answers, strict=True))[::40]]
    for bits in (8, 4):
        before = quantized(model, bits)
        result[f"int{bits}"] = shares(model, tokenizer, items)
        restore(model, before)
    return result


def summary(figures: dict) -> str:
    """The main figures of `report` on one line."""
    line = {name: found["macro"] for name, found in figures["with_memory"].items()}
    extra = ("memory_off", "memory_off_well_formed", "int8", "int4")
    line |= {name: figures[name]["macro"] for name in extra if name in figures}
    if "same_answer" in figures:
        line |= figures["same_answer"] | {"says_unknown": figures["says_unknown"]}
    return " ".join(f"{name} {share:.3f}" for name, share in line.items())
