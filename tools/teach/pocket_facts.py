"""The pocket corpus as lessons: its facts, wordings and invented names (tools/train), asked in single turns."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engram_local.tools.train import corpus, grammar, prose
from engram_local.tools.train import facts as pocket

from .facts import Item, Lessons

KINDS_OF_TEXT = {"Python's documentation": prose.paragraphs, "WordNet's example sentences": prose.sentences}
SETS = ("trained", "validation", "test", "unknown_test")
LATER = 0.08  # share of the questions that are asked after one or two others
# A question for one of these cannot be told from one for "define": "What is an afternoon?", "What is afternoon?".
AMBIGUOUS = frozenset({"noun", "verb"})


@dataclass(frozen=True)
class Size:
    """How much of the corpus is taught."""

    n_definitions: int = 32_000
    n_cities: int = 24_000
    n_names: int = 10_000
    n_invented: int = 300_000
    n_wordings: int = 14  # of each fact, at least
    least_of_kind: int = 8_000  # questions of each kind: where it has few facts, each is asked in more wordings
    n_kept: int = 400  # paragraphs of each kind of text
    n_asked: int = 10_000  # questions of each set, at most
    kinds: frozenset[str] = frozenset()  # of facts; empty: all but AMBIGUOUS


SMALL = Size(
    n_definitions=0,
    n_cities=0,
    n_names=1,
    n_invented=100,
    n_wordings=5,
    least_of_kind=0,
    n_kept=20,
    n_asked=200,
    kinds=frozenset({"capital", "currency", "symbol", "atomic_number"}),
)


def lessons(sources: dict[str, Path], size: Size, seed: int = 0) -> Lessons:
    """sources: package name -> folder, as `tools.train.sources.fetch` returns it; seed: of the wordings that are
    learnt. What is asked afterwards, and which names do not exist, is the same for all seeds."""
    known = pocket.load(sources, n_definitions=size.n_definitions, n_cities=size.n_cities, n_names=size.n_names)
    kinds = size.kinds or set(pocket.KINDS) - AMBIGUOUS
    known = [fact for fact in known if fact.kind in kinds]
    invented = {
        split: [fact for fact in listed if fact.kind not in AMBIGUOUS]
        for split, listed in corpus._invented(known, size.n_invented, 0).items()
    }
    found = corpus.questions(known, invented, 0)
    asked = {name: [Item(x["q"], x["a"], x["kind"]) for x in _spread(found[name], size.n_asked)] for name in SETS}
    others = random.Random("later").sample(asked["trained"], len(asked["trained"]))
    asked["trained, later in a chat"] = [
        replace(x, before=(first, second))
        for x, first, second in zip(asked["trained"], others, others[1:], strict=False)
    ]
    return Lessons(
        items(known, invented["train"], size, seed),
        asked,
        len(known),
        {name: [*read(sources)][::7][: size.n_kept] for name, read in KINDS_OF_TEXT.items()},
        [text for i, text in enumerate(prose.sentences(sources)) if i % 7],
    )


def items(known: list[pocket.Fact], invented: list[pocket.Fact], size: Size, seed: int) -> Iterator[Item]:
    """Every fact in `size.n_wordings` training wordings, more where the corpus has more or its kind few facts; every
    invented name in one. A few are asked later in a chat, after other facts."""
    rng = random.Random(f"items {seed}")
    n_of_kind = Counter(fact.kind for fact in known)
    for fact in known:
        least = -(-size.least_of_kind // n_of_kind[fact.kind])
        for _ in range(max(size.n_wordings, size.n_wordings * fact.docs // 7, least)):
            yield _later(_item(fact, rng), known, rng)
    for fact in invented:
        yield _later(_item(fact, rng), known, rng)


def _spread(listed: list, n: int) -> list:
    """About `n` of them, at equal distances; all where there are fewer."""
    return listed[:: max(1, len(listed) // n)]


def _later(item: Item, known: list[pocket.Fact], rng: random.Random) -> Item:
    n_before = rng.choice((1, 2)) if rng.random() < LATER else 0
    return replace(item, before=tuple(_item(rng.choice(known), rng) for _ in range(n_before))) if n_before else item


def _item(fact: pocket.Fact, rng: random.Random) -> Item:
    name = fact.subject if rng.random() < 0.7 else rng.choice(fact.asked)
    return Item(grammar.question(fact.kind, name, "train", rng, fact.rival), fact.answer, fact.kind)
