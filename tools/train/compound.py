"""Questions of more than one fact: whether a value is right, and two things at once.

"Is Sydney the capital of Australia?" is answered by the value alone ("The capital of Australia is Canberra."):
verdicts after it ("..., so no.") were learnt by one training and stayed guesses in the next.
"""

import random

from .facts import ANSWERS, Fact
from .grammar import expand, typo

# {s}: the subject, {v}: the value that is asked about
YES_NO = {
    "capital": """Is {v} the capital (city/) of {s}? | Is {s}'s capital {v}?
        | {v} is the capital of {s}, right? | Is the capital of {s} {v}?""",
    "city": """Is {s} in {v}? | Does {s} lie in {v}? | {s} is in {v}, right?
        | Is {s} a (city/place) in {v}?""",
    "continent": """Is {s} in {v}? | Does {s} lie in {v}? | Does {s} belong to {v}?
        | Is {s} (a country/) in {v}? | Is {s} part of {v}?""",
    "currency": """Is {v} the currency of {s}? | (Does/Do they in) {s} use {v}?
        | Do people in {s} pay with {v}? | Can I pay with {v} in {s}?""",
    "language": """Do (they/people) speak {v} in {s}? | Is {v} (spoken/a language/the language) in {s}?
        | Do the people of {s} speak {v}?""",
    "neighbours": """Does {s} border {v}? | Is {v} (next to/a neighbour of) {s}?
        | Do {s} and {v} share a border? | Is {s} next to {v}?""",
    "symbol": """Is {v} the (chemical/) symbol (of/for) {s}? | Is {s}'s symbol {v}?
        | Does {v} stand for {s}?""",
    "atomic_number": """Is {v} the atomic number of {s}?
        | Does {s} have (the atomic number {v}/{v} protons)? | Is {s} element {v}?""",
    "element_type": "Is {s} {v}? | Is the element {s} {v}?",
    "antonym": "Is {v} the opposite of {s}? | Is {s} the opposite of {v}?",
    "kind_of": "Is {s} a kind of {v}? | Is a {s} a {v}? | Is {s} an example of {v}?",
    "born": "Was {s} born in {v}? | Was {v} the birth year of {s}?",
    "died": "Did {s} die in {v}?",
}
ANY = (
    "Is it true that {a}?",
    "Is it right that {a}?",
    "{a}, right?",
    "{a}, correct?",
    "True or false: {a}.",
    "{a}. Is that true?",
)
FRAMES = {kind: [f for p in text.split("|") for f in expand(p.strip())] for kind, text in YES_NO.items()}
NOUNS = {
    "capital": "capital", "currency": "currency", "population": "population", "area": "area", "language": "language",
    "continent": "continent", "calling_code": "calling code", "domain": "internet domain", "neighbours": "neighbours",
    "symbol": "chemical symbol", "atomic_number": "atomic number", "atomic_weight": "atomic weight",
    "melting_point": "melting point", "boiling_point": "boiling point", "city_population": "population",
    "time_zone": "time zone", "synonym": "synonym", "antonym": "opposite", "define": "meaning", "born": "birth year",
    "died": "death year",
}  # fmt: skip
PAIRS = (
    "What are the {a} and the {b} of {s}?",
    "the {a} and {b} of {s}",
    "{a} and {b} of {s}",
    "Tell me the {a} and the {b} of {s}.",
    "What is the {a} and the {b} of {s}?",
    "{s}: {a} and {b}?",
    "{s} {a} and {b}",
    "What is the {a} of {s}, and what is its {b}?",
    "Give me {s}'s {a} and {b}.",
)
LIFE = (
    "When was {s} born and when did {g} die?", "When was {s} born and when did they die?", "{s} born and died",
)  # fmt: skip


def yes_no(fact: Fact, kin: list[Fact], rng: random.Random, *, right: bool | None = None) -> tuple[str, str]:
    """A question with a value to confirm, and its answer.

    kin: facts of the same kind, for values that are wrong; right: whether the value asked for is right (drawn if None).
    """
    right = rng.random() < 0.5 if right is None else right
    return confirm(fact, _asked(fact, kin, right, rng), rng), fact.answer


def _asked(fact: Fact, kin: list[Fact], right: bool, rng: random.Random) -> str:
    """A value to ask for; it may be right though a wrong one was wanted, where kin has none."""
    lists = fact.kind in ("language", "neighbours")
    for _ in range(20):
        asked = fact.value if right else rng.choice(kin).value
        asked = rng.choice(_items(asked)) if lists else asked
        if right or not (asked == fact.value or (lists and asked in _items(fact.value))):
            break
    return asked


def _items(value: str) -> list[str]:
    return value.replace(" and ", ", ").split(", ")


def confirm(fact: Fact, asked: str, rng: random.Random) -> str:
    """A question whether `asked` is the value of the fact."""
    if rng.random() < 0.25:
        said = ANSWERS[fact.kind].format(s=fact.subject, f=asked).rstrip(".")
        text = rng.choice(ANY).replace("{a}", said[0].lower() + said[1:] if said.startswith("The ") else said)
        text = text[0].upper() + text[1:]
    else:
        frame = rng.choice(FRAMES[fact.kind])
        frame = typo(frame, rng) if rng.random() < 0.1 else frame
        text = frame.replace("{s}", fact.subject).replace("{v}", asked)
    if rng.random() < 0.3:
        text = text.rstrip("?.")
    return text.lower() if rng.random() < 0.25 else text


def two_parts(first: Fact, second: Fact, rng: random.Random) -> tuple[str, str]:
    """One question for two facts about a subject, answered by both sentences."""
    life = {first.kind, second.kind} == {"born", "died"} and rng.random() < 0.8
    if life and first.kind == "died":
        first, second = second, first
    text = rng.choice(LIFE if life else PAIRS).replace("{s}", first.subject).replace("{g}", rng.choice(("he", "she")))
    text = text.replace("{a}", NOUNS[first.kind]).replace("{b}", NOUNS[second.kind])
    if rng.random() < 0.3:
        text = text.rstrip("?.")
    return (text.lower() if rng.random() < 0.25 else text), f"{first.answer} {second.answer}"
