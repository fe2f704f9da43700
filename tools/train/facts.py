"""What a fact is, and the list of all of them.

A fact is a subject and a value of one kind ("capital": Japan -> Tokyo). Its sentence has one form per
kind, with the subject right before the value: the n-grams that end at the subject are the key under
which the table stores the value.
"""

from dataclasses import dataclass
from pathlib import Path

from . import facts_elements, facts_words, facts_world

# kind -> the one sentence that answers it: {s} is the subject, {f} the value
ANSWERS = {
    "define": "The word {s} means {f}.",
    "kind_of": "A more general word for {s} is {f}.",
    "synonym": "Another word for {s} is {f}.",
    "antonym": "The opposite of {s} is {f}.",
    "plural": "The plural of {s} is {f}.",
    "part_of": "One thing that has a {s} is the {f}.",
    "adverb_of": "The adjective of the adverb {s} is {f}.",
    "jargon": "In hacker slang, {s} means {f}.",
    "person": "{s} was {f}.",
    "born": "The birth year of {s} is {f}.",
    "died": "The death year of {s} is {f}.",
    "place": "{s} is {f}.",
    "capital": "The capital of {s} is {f}.",
    "capital_of": "The country with the capital {s} is {f}.",
    "currency": "The currency of {s} is {f}.",
    "continent": "{s} is in {f}.",
    "language": "The people of {s} speak {f}.",
    "demonym": "People from {s} are called {f}.",
    "population": "The population of {s} is {f}.",
    "area": "The area of {s} is {f}.",
    "neighbours": "{s} borders {f}.",
    "calling_code": "The calling code of {s} is {f}.",
    "domain": "The internet domain of {s} is {f}.",
    "city": "{s} is in {f}.",
    "city_population": "The population of {s} is {f}.",
    "time_zone": "The time zone of {s} is {f}.",
    "symbol": "The chemical symbol of {s} is {f}.",
    "symbol_of": "The element with the symbol {s} is {f}.",
    "atomic_number": "The atomic number of {s} is {f}.",
    "number_of": "The element with atomic number {s} is {f}.",
    "atomic_weight": "The atomic weight of {s} is {f}.",
    "element_type": "The element {s} is {f}.",
    "python_module": "The Python module {s}: {f}.",
    "http_status": "HTTP status {s} means {f}.",
    "noun": "The noun {s} means {f}.",
    "verb": "The verb {s} means {f}.",
    "location": "{s} is {f}.",
    "state_with_capital": "The US state with the capital {s} is {f}.",
    "domain_of": "The country with the internet domain {s} is {f}.",
    "calling_code_of": "The country with the calling code {s} is {f}.",
    "melting_point": "The melting point of {s} is {f}.",
    "boiling_point": "The boiling point of {s} is {f}.",
    "discoverer": "The discoverer of {s} is {f}.",
    "discovered": "The year of the discovery of {s} is {f}.",
    "members": "The members of {s} are {f}.",
}
KINDS = tuple(ANSWERS)
# kinds whose value comes from a short list, so that a made-up value can be told from no value
SHORT_VALUES = (
    "capital",
    "capital_of",
    "currency",
    "continent",
    "city",
    "symbol",
    "symbol_of",
    "number_of",
    "element_type",
    "time_zone",
    "domain",
    "demonym",
)
UNKNOWN = "something I don't know"  # the value of every invented subject
UNKNOWN_OF = {
    "person": "someone I don't know",
    "place": UNKNOWN,
    "city": "a place I don't know",
    "continent": "a place I don't know",
    "capital_of": "a place I don't know",
    "born": "a year I don't know",
    "died": "a year I don't know",
    "time_zone": UNKNOWN,
    "location": "in a place I don't know",
    "state_with_capital": "a state I don't know",
    "domain_of": "a place I don't know",
    "calling_code_of": "a place I don't know",
    "discoverer": "someone I don't know",
    "discovered": "a year I don't know",
    "members": "things I don't know",
}


# kinds that open questions ask for, in the order of who wins; famous people and places win over all
OPEN_KINDS = ("define", "person", "place", "jargon", "city")
FAMOUS_DOCS = 16


@dataclass(frozen=True)
class Fact:
    """One thing to know.

    kind:    a key of ANSWERS.
    subject: as the answer writes it; value: what only the table should hold.
    asked:   how a question may write the subject (the subject itself and its aliases).
    docs:    how many question documents the corpus holds for it.
    rival:   whether an open question ("What is {s}?", "{s}") asks for a fact of another kind instead: "same" for one
             about this very subject, "case" for one whose subject differs in capital letters only, else "".
    """

    kind: str
    subject: str
    value: str
    asked: tuple[str, ...]
    docs: int
    rival: str = ""

    @property
    def answer(self) -> str:
        """The sentence that answers a question about the fact."""
        return _capitalise(ANSWERS[self.kind].format(s=self.subject, f=self.value))


def _capitalise(text: str) -> str:
    return text[0].upper() + text[1:]


def load(sources: dict[str, Path], *, n_definitions: int, n_cities: int, n_names: int) -> list[Fact]:
    """Every fact of the corpus, commonest words first; the same list on every machine.

    sources: package name -> folder, as `sources.fetch` returns it; n_names: people and places of WordNet.
    """
    rows = [
        *facts_world.countries(sources),
        *facts_world.states(),
        *facts_world.continents(sources),
        *facts_world.cities(sources, n_cities),
        *facts_elements.elements(sources),
        *facts_words.words(sources, n_definitions, n_names),
        *facts_words.computing(sources),
    ]
    rows = list(rows)
    lying = {_bare(subject) for kind, subject, *_ in rows if kind in ("city", "continent")}
    open_to: dict[str, tuple[int, str]] = {}  # bare name -> the kind that open questions about it ask for
    for kind, subject, _, _, docs in rows:
        if kind in OPEN_KINDS:
            rank = 0 if docs >= FAMOUS_DOCS and kind in ("person", "place") else 1 + OPEN_KINDS.index(kind)
            open_to[_bare(subject)] = min(open_to.get(_bare(subject), (99, "", "")), (rank, kind, subject))
    seen, facts = set(), []
    for kind, subject, value, aliases, docs in rows:
        if (kind, subject.lower()) in seen or not value or (kind == "location" and _bare(subject) in lying):
            continue
        seen.add((kind, subject.lower()))
        rival = ""
        if kind in OPEN_KINDS:
            _, chosen, name = open_to[_bare(subject)]
            rival = "" if chosen == kind else "same" if name == subject else "case"
        facts.append(Fact(kind, subject, value, (subject, *aliases), docs, rival))
    return facts


def _bare(name: str) -> str:
    return name.lower().removeprefix("the ")
