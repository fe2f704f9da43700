"""Invented names: words, places and people that do not exist, for honest answers to what is not known."""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .facts import UNKNOWN, UNKNOWN_OF, Fact


def _words(text: str) -> list[str]:
    return text.split()


ONSETS = _words(
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kn l m n p pl pr qu r s sch sh sk sl sn sp st str t "
    "th tr tw v w wh y z zh"
)
VOWELS = _words("a e i o u ae ai ea ee ia io oo ou y")
CODAS = _words("b ck d f g l lb lk ll m mp n nd ng nk nt p r rd rf rk rn s sh sk ss st t th v x z") + [""] * 12
ENDINGS = _words("ia land istan ville burg ton a o us um ium ix or on el is ez ak ov ski ing ness er ism ous ly ite")
WEIGHTS = {  # kind -> how often it is drawn: as often as it takes for its known names to be told from unknown ones
    "define": 12, "synonym": 4, "kind_of": 3, "antonym": 3, "plural": 2, "noun": 6, "verb": 2, "jargon": 1,
    "city": 9, "time_zone": 5, "place": 6, "location": 4, "person": 12, "born": 4, "died": 3, "capital_of": 2,
    "capital": 3, "currency": 3, "language": 2, "population": 3, "continent": 1, "neighbours": 1, "demonym": 1,
    "calling_code": 1, "domain": 1, "area": 1, "city_population": 1, "symbol": 2, "atomic_number": 2,
    "melting_point": 1, "boiling_point": 1, "atomic_weight": 1, "element_type": 1, "discoverer": 1, "python_module": 1,
}  # fmt: skip
KINDS = [*WEIGHTS]
ELEMENTS = {
    "symbol", "atomic_number", "melting_point", "boiling_point", "atomic_weight", "element_type", "discoverer",
}  # fmt: skip
ELEMENT_ENDINGS = _words("ium ium ium on ine um ite gen nium tium")
BEFORE = _words("New San North South Port El Mount Lake Fort Saint East West Upper Santa Cape Old Los")
AFTER = _words("City Falls River Springs Island Valley Bay Mountains Junction Creek Beach Hills Castle Desert Park")
PLACES = {
    "city", "place", "location", "time_zone", "population", "city_population", "area", "capital", "currency",
    "language", "capital_of", "continent", "neighbours", "demonym", "domain", "calling_code",
}  # fmt: skip
LIVES = {"person", "born", "died"}
PREFIXES = _words("un re mis over under non dis fore out pre sub")
SUFFIXES = _words("ness ish hood able ery let ling ful less ward ship dom ette")
COMMON = ELEMENTS | {
    "define",
    "synonym",
    "antonym",
    "kind_of",
    "plural",
    "noun",
    "verb",
    "jargon",
    "python_module",
}  # the others name names


def name(rng: random.Random, parts: list[str]) -> str:
    """An invented lower-case word: syllables, or the halves of two words of `parts`."""
    if rng.random() < 0.45:
        a, b = rng.choice(parts), rng.choice(parts)
        return a[: max(2, len(a) // 2)] + b[len(b) // 2 :]
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 3))))
    return word + rng.choice(ENDINGS) if rng.random() < 0.4 or len(word) < 4 else word


@dataclass(frozen=True)
class People:
    """First and last names of real people."""

    first: list[str]
    last: list[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "People":
        """The parts of whole names; one word alone is no part."""
        parts = [name.split() for name in names if " " in name]
        return cls(sorted({p[0] for p in parts}) or ["Ann"], sorted({p[-1] for p in parts}) or ["Smith"])


class Letters:
    """Words of letters that follow three others as they do in known words."""

    def __init__(self, words: list[str]):
        self.following: dict[str, list[str]] = defaultdict(list)
        for word in words:
            text = f"^^^{word.lower()}$"
            for i in range(3, len(text)):
                self.following[text[i - 3 : i]].append(text[i])

    def word(self, rng: random.Random) -> str:
        """A lower-case word, which may be a known one."""
        text = "^^^"
        while text[-1] != "$" and len(text) < 15:
            text += rng.choice(self.following[text[-3:]])
        return text[3:].removesuffix("$")


def combined(kind: str, words: list[str], names: list[str], people: People, rng: random.Random) -> str:
    """A name put together from parts that exist: two people's names, a place and "Falls", a word and a suffix."""
    if kind in LIVES:
        return f"{rng.choice(people.first)} {rng.choice(people.last)}"
    if kind in PLACES:
        place = rng.choice(names).capitalize()
        return f"{rng.choice(BEFORE)} {place}" if rng.random() < 0.5 else f"{place} {rng.choice(AFTER)}"
    draw, word = rng.random(), rng.choice(words)
    if draw < 0.35:
        return rng.choice(PREFIXES) + word
    return word + (rng.choice(SUFFIXES) if draw < 0.7 else rng.choice(words))


def invented(
    n: int,
    known: set[str],
    words: list[str],
    names: list[str],
    people: People,
    rng: random.Random,
    spelt: float = 0.0,
) -> list[Fact]:
    """`n` facts about names that do not exist; their value says so.

    known: lower-case words that exist, and those invented before; the new names are added to it. words, names:
    whose halves the invented words and names of people and places may be made of; people: real people's names;
    spelt: share of the invented words that are put together letter by letter, as the known ones are.
    """
    facts = []
    letters = {True: Letters(words), False: Letters(names)}
    weights = [*WEIGHTS.values()]
    while len(facts) < n:
        kind = rng.choices(KINDS, weights)[0]
        parts = words if kind in COMMON else names
        word = letters[kind in COMMON].word(rng) if spelt and rng.random() < spelt else name(rng, parts)
        mixed = kind not in ELEMENTS and rng.random() < (0.5 if kind in LIVES else 0.25)
        if kind in ELEMENTS and rng.random() < 0.5:
            word = word[: max(3, len(word) - 2)] + rng.choice(ELEMENT_ENDINGS)
        if kind not in COMMON:
            word = word.capitalize()
            if kind in LIVES and rng.random() < 0.8:
                first = rng.choice(people.first) if rng.random() < 0.7 else name(rng, parts).capitalize()
                word = f"{first} {word}"
            elif kind in PLACES and rng.random() < 0.2:
                word = f"{rng.choice(BEFORE)} {word}" if rng.random() < 0.5 else f"{word} {rng.choice(AFTER)}"
                if rng.random() < 0.15:
                    word += " " + rng.choice(AFTER)
        word = combined(kind, words, names, people, rng) if mixed and names else word
        if len(word) < 4 or len(word) > 30 or word.lower() in known:
            continue
        known.add(word.lower())
        facts.append(Fact(kind, word, UNKNOWN_OF.get(kind, UNKNOWN), (word,), 1))
    return facts
