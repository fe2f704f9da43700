"""Free questions: what a person typed without the grammar in view, each with a test for a right answer.

    python -m engram_local.tools.train.free MODEL QUESTIONS.tsv [--device cpu] [--answers FILE]

MODEL is a checkpoint, or a model folder, which the runtime answers from as a chat does.

A line of the file: set, turns (" | " between them; the last one's answer is judged), a regular expression of a right
answer. "@honest" stands for an answer that says what the model cannot do or does not know. Lines are dealt in turn to
two halves: "tuning", looked at while the corpus is made, and "reported", which is not.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

import engram_local
from engram_local.model_folder import MANIFEST

from . import evaluate, small_talk
from .brakes import BRAKE
from .corpus import BOS, BOT, END, USER
from .facts import ANSWERS
from .model import EngramModel

HALVES = ("tuning", "reported")
HONEST = re.compile(r"I can't help with that|I don't know")
FORMS = [
    re.compile(re.escape(form).replace(r"\{s\}", "(?P<s>.+?)").replace(r"\{f\}", "(.+)") + "$", re.I)
    for form in ANSWERS.values()
]


@dataclass(frozen=True)
class Free:
    """One question: its set, its turns, what a right answer matches, its half."""

    name: str
    turns: tuple[str, ...]
    right: str
    half: str


def read(path: Path) -> list[Free]:
    found: list[Free] = []
    seen: Counter[str] = Counter()
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, turns, right = line.split("\t")[:3]
            found.append(Free(name, tuple(turns.split(" | ")), right, HALVES[seen[name] % 2]))
            seen[name] += 1
    return found


def as_read(text: str) -> str:
    """A message as the chat template gives it to the model."""
    text = " ".join(text.split())
    return text.lower() if " " in text and text == text.upper() else text


def converse(model: EngramModel, tokenizer: Tokenizer, asked: list[Free], *, memory: bool = True) -> list[str]:
    """The answer to the last turn of every conversation, greedy; earlier turns are answered by the model too."""
    prompts = [[BOS] for _ in asked]
    answers = [""] * len(asked)
    for turn in range(max(len(q.turns) for q in asked)):
        going = [i for i, q in enumerate(asked) if turn < len(q.turns)]
        for i in going:
            text = as_read(asked[i].turns[turn])
            prompts[i] += [USER, *tokenizer.encode(text, add_special_tokens=False).ids, BOT]
        given = evaluate.greedy(model, tokenizer, [prompts[i] for i in going], memory=memory)
        for i, answer in zip(going, given, strict=True):
            answers[i] = answer
            prompts[i] += [*tokenizer.encode(answer, add_special_tokens=False).ids, END]
    return answers


def chat(model: engram_local.Model, asked: list[Free], *, memory: bool = True) -> list[str]:
    """The same of a loaded model folder."""
    answers = []
    for question in asked:
        messages: list[dict[str, str]] = []
        for turn in question.turns:
            messages.append({"role": "user", "content": turn})
            answer = "".join(
                model.generate(messages, memory=memory, max_tokens=evaluate.LONGEST_ANSWER, temperature=0)
            ).strip()
            messages.append({"role": "assistant", "content": answer})
        answers.append(answer)
    return answers


def judge(question: Free, answer: str) -> str:
    """ "right", "honest" (says that it does not know or cannot), "false" (a whole sentence about what was asked),
    "talk" (small talk) or "garbage"."""
    honest = bool(HONEST.search(answer))
    wanted = question.right.replace("@honest", HONEST.pattern)
    if re.search(wanted, answer) and (not honest or "@honest" in question.right):
        return "right"
    if honest:
        return "honest"
    if answer in {said for _, said in small_talk.exchanges()} or answer == BRAKE:
        return "talk"
    text = answer.removeprefix("Yes. ")
    said = " ".join(question.turns).lower()
    for form in FORMS:
        found = form.match(text if text.endswith(".") else text + ".")
        if found and found["s"].lower().removeprefix("the ") in said:
            return "false"
    return "garbage"


def table(asked: list[Free], verdicts: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """set -> half -> verdict -> share of the half's questions."""
    counts: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for question, verdict in zip(asked, verdicts, strict=True):
        counts[question.name][question.half][verdict] += 1
    return {
        name: {half: {v: n / sum(c.values()) for v, n in sorted(c.items())} for half, c in halves.items()}
        for name, halves in counts.items()
    }


def report(asked: list[Free], answer: Callable[[bool], list[str]]) -> dict:
    """Tables with memory and without, and every answer; `answer(memory)` gives those to all questions."""
    result: dict = {"answers": []}
    for memory in (True, False):
        answers = answer(memory)
        verdicts = [judge(q, a) for q, a in zip(asked, answers, strict=True)]
        result["memory" if memory else "off"] = table(asked, verdicts)
        result["answers"] += [
            {"set": q.name, "half": q.half, "turns": q.turns, "memory": memory, "said": a, "verdict": v}
            for q, a, v in zip(asked, answers, verdicts, strict=True)
        ]
    return result


def main(path: Path, questions: Path, device: str, answers: Path | None) -> None:
    asked = read(questions)
    if (path / MANIFEST).exists():
        with engram_local.load(path) as loaded:
            found = report(asked, lambda memory: chat(loaded, asked, memory=memory))
    else:
        model, tokenizer = EngramModel.load(path).to(device).eval(), Tokenizer.from_file(str(path / "tokenizer.json"))
        found = report(asked, lambda memory: converse(model, tokenizer, asked, memory=memory))
    if answers:
        answers.write_text(json.dumps(found, indent=1))
    for memory in ("memory", "off"):
        for name, halves in found[memory].items():
            line = ["  ".join(f"{v} {share:.2f}" for v, share in halves[half].items()) for half in HALVES]
            print(f"{memory:7}{name:10}", " | ".join(f"{h}: {x}" for h, x in zip(HALVES, line, strict=True)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--answers", type=Path)
    given = parser.parse_args()
    main(given.model, given.questions, given.device, given.answers)
