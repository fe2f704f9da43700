"""The pocket corpus as lessons: its facts, wordings and invented names (tools/train), asked in single turns."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engram_local.tools.train import corpus, prose
from engram_local.tools.train import facts as pocket

from .facts import Item, Lessons

KINDS_OF_TEXT = {"Python's documentation": prose.paragraphs, "WordNet's example sentences": prose.sentences}
SETS = ("trained", "validation", "test", "unknown_test")


@dataclass(frozen=True)
class Size:
    """How much of the corpus is taught."""

    n_definitions: int = 72_000
    n_cities: int = 24_000
    n_names: int = 10_000
    n_invented: int = 130_000
    n_kept: int = 400  # paragraphs of each kind of text


SMALL = Size(n_definitions=0, n_cities=0, n_names=0, n_invented=100, n_kept=40)


def lessons(sources: dict[str, Path], size: Size, seed: int = 0) -> Lessons:
    """sources: package name -> folder, as `tools.train.sources.fetch` returns it."""
    known = pocket.load(sources, n_definitions=size.n_definitions, n_cities=size.n_cities, n_names=size.n_names)
    invented = corpus._invented(known, size.n_invented, seed)
    asked = corpus.questions(known, invented, seed)
    return Lessons(
        items(known, invented["train"], seed),
        {name: [Item(x["q"], x["a"], x["kind"]) for x in asked[name]] for name in SETS},
        len(known),
        {name: [*read(sources)][::7][: size.n_kept] for name, read in KINDS_OF_TEXT.items()},
    )


def items(known: list[pocket.Fact], invented: list[pocket.Fact], seed: int) -> Iterator[Item]:
    """Every fact in as many training wordings as the corpus gives it, every invented name once."""
    rng = random.Random(f"items {seed}")
    for fact in known:
        for _ in range(fact.docs):
            yield Item(corpus.ask(fact, "train", rng), fact.answer, fact.kind)
    for fact in invented:
        yield Item(corpus.ask(fact, "train", rng), fact.answer, fact.kind)
