"""Invented names: words, places and people that do not exist, for honest answers to what is not known."""

import random

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
KINDS = _words(
    "define define define define define define define define define define define define synonym synonym synonym "
    "synonym synonym city city city city city city city city city time_zone time_zone time_zone time_zone time_zone "
    "person person person person person person place place place place place kind_of kind_of kind_of antonym antonym "
    "antonym antonym capital_of born born died died plural plural capital capital currency "
    "language population symbol atomic_number continent capital_of neighbours demonym calling_code area domain"
)
COMMON = {"define", "synonym", "antonym", "symbol", "atomic_number", "kind_of", "plural"}  # the others name names


def name(rng: random.Random, parts: list[str]) -> str:
    """An invented lower-case word: syllables, or the halves of two words of `parts`."""
    if rng.random() < 0.45:
        a, b = rng.choice(parts), rng.choice(parts)
        return a[: max(2, len(a) // 2)] + b[len(b) // 2 :]
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 3))))
    return word + rng.choice(ENDINGS) if rng.random() < 0.4 or len(word) < 4 else word


def invented(n: int, known: set[str], words: list[str], names: list[str], rng: random.Random) -> list[Fact]:
    """`n` facts about names that do not exist; their value says so.

    known: lower-case words that exist, and those invented before; the new names are added to it. words, names:
    whose halves the invented words and names of people and places may be made of.
    """
    facts = []
    while len(facts) < n:
        kind = rng.choice(KINDS)
        parts = words if kind in COMMON else names
        word = name(rng, parts)
        if kind not in COMMON:
            word = word.capitalize()
            if kind in ("person", "born", "died") and rng.random() < 0.8:
                first = rng.choice(parts) if rng.random() < 0.5 else name(rng, parts)
                word = f"{first.capitalize()} {word}"
            elif rng.random() < 0.08:
                word = rng.choice(("New ", "San ", "North ", "South ", "Port ", "El ")) + word
        if len(word) < 4 or len(word) > 24 or word.lower() in known:
            continue
        known.add(word.lower())
        facts.append(Fact(kind, word, UNKNOWN_OF.get(kind, UNKNOWN), (word,), 1))
    return facts
