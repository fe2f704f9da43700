"""What is to be taught: questions with their answers, and texts, out of a file of JSON lines."""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engram_local.errors import EngramError

from . import wordings

FIELDS = {"question", "answer", "kind", "text"}
KEPT_FIELDS = ("n_facts", "kept", "silent")


class FactsError(EngramError):
    """A file of facts that cannot be read or taught."""


@dataclass(frozen=True)
class Fact:
    """One answer and the ways to ask for it; or, with no questions, a text that is to be learnt as it is."""

    questions: tuple[str, ...]
    answer: str
    kind: str = ""  # figures are also given for each kind


@dataclass(frozen=True)
class Item:
    """One question with its answer, as it is learnt or asked; `question` "" for a text. before: earlier turns of its
    chat."""

    question: str
    answer: str
    kind: str = ""
    before: tuple["Item", ...] = ()


@dataclass(frozen=True)
class Lessons:
    """Everything that one training is about.

    items: what is learnt, one document each; asked: sets of questions for the figures; kept: sets of paragraphs that
    should stay as they were, for the figures; silent: paragraphs on which the memory is taught to be silent, beside the
    model's own text; n_facts: decides how large the tables are.
    """

    items: Iterable[Item]
    asked: dict[str, list[Item]]
    n_facts: int
    kept: dict[str, list[str]] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)


def save_questions(path: Path, lessons: Lessons) -> None:
    """Everything of `lessons` but what is learnt, as JSON."""

    def entry(item: Item) -> list:
        return [item.question, item.answer, item.kind, [entry(x) for x in item.before]]

    asked = {name: [entry(x) for x in listed] for name, listed in lessons.asked.items()}
    path.write_text(json.dumps({"asked": asked, **{x: getattr(lessons, x) for x in KEPT_FIELDS}}))


def load_questions(path: Path) -> Lessons:
    """What `save_questions` wrote; nothing to learn in it, for documents that are made already."""

    def item(question: str, answer: str, kind: str, before: list) -> Item:
        return Item(question, answer, kind, tuple(item(*x) for x in before))

    entry = json.loads(path.read_text())
    asked = {name: [item(*x) for x in listed] for name, listed in entry["asked"].items()}
    return Lessons((), asked, **{x: entry[x] for x in KEPT_FIELDS})


def lessons(path: Path, n_wordings: int, n_asked: int, seed: int = 0) -> Lessons:
    """The lessons of a user's file (see `read`); `n_asked` of its facts are asked afterwards."""
    known = read(path)
    return Lessons(list(items(known, n_wordings, seed)), questions(known, n_asked, seed), len(known))


def read(path: Path) -> list[Fact]:
    """The facts of a file of JSON lines: {"question": text or list of texts, "answer": text} or {"text": text}.

    "kind" is optional. Raises FactsError, naming the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FactsError(f"{path}: cannot be read: {error}") from error
    facts = [_fact(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not facts:
        raise FactsError(f'{path}: holds no fact; write lines of {{"question": "...", "answer": "..."}}')
    return facts


def _fact(line: str, where: str) -> Fact:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise FactsError(f"{where}: is no JSON ({error}); one object a line") from error
    if not isinstance(entry, dict) or not set(entry) <= FIELDS or ("text" in entry) == ("question" in entry):
        raise FactsError(f'{where}: needs "question" and "answer", or "text"; "kind" may stand beside them')
    asked = entry.get("question", [])
    asked = asked if isinstance(asked, list) else [asked]
    answer = entry.get("text", entry.get("answer"))
    texts = [*asked, answer, entry.get("kind", "")]
    if not all(isinstance(x, str) for x in texts) or not all(x.strip() for x in texts[:-1]):
        raise FactsError(f"{where}: questions, answers and texts are strings that are not empty")
    return Fact(tuple(x.strip() for x in asked), answer.strip(), entry.get("kind", ""))


def items(facts: list[Fact], n_wordings: int, seed: int = 0) -> Iterator[Item]:
    """What is learnt: every fact in `n_wordings` wordings of its questions (the plain ones among them), every text
    as often."""
    for number, fact in enumerate(facts):
        rng = random.Random(f"{seed} {number}")
        for i in range(n_wordings):
            if not fact.questions:
                yield Item("", fact.answer, fact.kind)
            elif i < len(fact.questions):
                yield Item(fact.questions[i], fact.answer, fact.kind)
            else:
                asked = wordings.reword(rng.choice(fact.questions), "train", rng)
                yield Item(asked, fact.answer, fact.kind)


def questions(facts: list[Fact], n: int, seed: int = 0) -> dict[str, list[Item]]:
    """What is asked afterwards, of at most `n` facts. plain: as the file asks; trained: reworded with what the training
    reworded with; test: with openers, frames and endings that it never used."""
    asked = [fact for fact in facts if fact.questions]
    rng = random.Random(f"questions {seed}")
    asked = rng.sample(asked, n) if len(asked) > n else asked
    return {
        "plain": [Item(f.questions[0], f.answer, f.kind) for f in asked],
        "trained": [Item(wordings.reword(f.questions[0], "train", rng), f.answer, f.kind) for f in asked],
        "test": [Item(wordings.reword(f.questions[0], "test", rng), f.answer, f.kind) for f in asked],
    }
