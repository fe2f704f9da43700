"""People, places and events of WordNet, under every name that it knows for them."""

import re
from collections.abc import Iterator

from . import facts_famous
from .facts_world import Row, country_name
from .glosses import OFFENSIVE, definition, usable, with_article
from .wordnet import PERSON, Synset, WordNet

LONGEST_NAME = 40  # characters
# Direct hypernyms whose instances are said with "the": the Nile, the Sahara, the Alps.
WITH_THE = {
    "river", "ocean", "sea", "desert", "range", "mountain range", "canal", "archipelago", "strait", "gulf", "channel",
    "canyon", "tower", "bridge", "wall", "peninsula", "revolution", "empire", "star", "satellite", "ship", "falls",
}  # fmt: skip
BY_NAME = re.compile(
    r"(the )?((sun|moon)$|.*\b(War|Revolution|Empire|Ocean|Sea|River|Desert|Mountains|Islands|Canal|Tower|Alps|Union|"
    r"Nations|Lakes|Canyon|Wall|Bible|Koran|Middle Ages|Renaissance|Holocaust|Pentagon|White House)$|War of |Gulf of )"
)
WITHOUT = re.compile(r"World War|Sirius|Polaris|Vega|Niagara|Victoria Falls")
YEARS = re.compile(
    r"\((?:circa |c\.? ?|about )?(\d{1,4})( BC| AD)?\??\s*-\s*(?:circa |c\.? ?|about )?(\d{1,4})( BC| AD)?\??\)"
)
BORN = re.compile(r"\(born (?:in )?(\d{4})\)")
LIES = re.compile(r"\b(in|on|off|near|between|at|of|from|across|through|along|into) [a-z' -]*[A-Z]")


COUNTRY = r"^[^;]*(country|republic|kingdom|monarchy|nation|principality|island|state|sultanate|emirate|archipelago)"
MOVES = re.compile(r"(flows|arises|rises|runs|extends|lies|stretches|empties|borders|forms) ")


def years(gloss: str) -> tuple[str, str]:
    """Years of birth and death in a gloss, "" for none. "(63 BC - 14)" -> ("63 BC", "14"); "(384-322 BC)": both BC."""
    if found := YEARS.search(gloss):
        born, era, died, era_of_death = found.groups()
        before = "BC" in (era or "") or ("BC" in (era_of_death or "") and not era)
        return born + " BC" * before, died + " BC" * ("BC" in (era_of_death or ""))
    found = BORN.search(gloss)
    return (found[1] if found else ""), ""


def names(net: WordNet, n_names: int, countries: list[str]) -> Iterator[Row]:
    """About `n_names` entries of WordNet: who, born, died of people; what and where of places and other things.

    Each of an entry's names is a subject of its own: the answer repeats the name that was asked for, so that the
    n-grams of that name are the key. A name that several entries share is that of the first in WordNet's order,
    but for those that `facts_famous` names; the name of one of the `countries` is the country's.
    """
    taken: set[str] = set()
    for kind, subject, *rest in facts_famous.own():
        taken.add(subject.removeprefix("the ").lower())
        yield kind, subject, *rest
    wanted = facts_famous.in_wordnet() + [(c.removeprefix("the "), COUNTRY) for c in countries]
    for name, hint in wanted:
        synset = _famous(net, name, hint)
        if synset is not None and name.removeprefix("the ").lower() not in taken:
            yield from _rows(net, synset, name, facts_famous.DOCS)
            taken.add(name.lower())
    entries = [(offset, s) for (pos, offset), s in net.synsets.items() if s.is_instance and pos == "n"]
    for offset, synset in entries[:: max(1, len(entries) // n_names)]:
        for place, name in enumerate(synset.words):
            first = net.senses[name.lower()]["n"][0] == offset
            if first and name.removeprefix("the ").lower() not in taken:
                taken.add(name.removeprefix("the ").lower())
                yield from _rows(net, synset, name, 6 if place < 2 else 4)


def _famous(net: WordNet, name: str, hint: str) -> Synset | None:
    """The entry meant by a famous name.

    One with `hint` (a regular expression) in its gloss, else an instance, else the first.
    """
    found = [net.synsets["n", offset] for offset in net.senses.get(name.lower(), {}).get("n", ())]
    named = [s for s in found if s.is_instance]
    meant = [s for s in named if hint and re.search(hint, s.gloss)]
    return next(iter(meant or named or found), None)


def _rows(net: WordNet, synset: Synset, name: str, docs: int) -> Iterator[Row]:
    value = definition(synset.gloss)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9' .-]+", name) or len(name) > LONGEST_NAME or not usable(value):
        return
    if OFFENSIVE.search(synset.gloss) or name.lower().startswith("capital of "):
        return
    value = re.sub(r"^(?=(king|queen|emperor|empress|prime minister) of )", "the ", value)
    value = re.sub(r"^(?=\d+(st|nd|rd|th)\b)", "the ", with_article(value) if not value[:1].isdigit() else value)
    if synset.lexfile == PERSON:
        yield "person", name, value, (), docs
        for kind, year in zip(("born", "died"), years(synset.gloss), strict=True):
            if year:
                yield kind, name, year, (), docs
        return
    subject = _with_the(net, synset, name)
    aliases = (subject.removeprefix("the "),) if subject.startswith("the ") else ()
    yield "place", subject, value, aliases, docs
    if synset.lexfile in (6, 15, 17):  # artifacts, locations, objects of nature
        lies = _where(net, synset)
        if lies:
            yield "location", subject, lies, aliases, max(4, docs // 2)


def _where(net: WordNet, synset: Synset) -> str:
    """The clause of a gloss that says where something is, "" for none."""
    first, *rest = [definition(part.strip()) for part in synset.gloss.split('; "')[0].split(";")]
    if LIES.search(first) and usable(first):
        return with_article(first)
    for clause in rest:
        if not LIES.search(clause) or not usable(clause):
            continue
        if re.match(r"(located|situated|in|on|at|near|between|off) ", clause):
            return clause
        if MOVES.match(clause):
            kinds = [net.synsets[pos, at].words[0] for s, pos, at, _ in synset.pointers if s == "@i"]
            return with_article(f"{kinds[0]} that {clause}")
    return ""


def _with_the(net: WordNet, synset: Synset, name: str) -> str:
    """ "Nile" -> "the Nile"."""
    if name.lower().startswith("the "):
        return "the " + name[4:]
    hypernyms = {w for s, pos, at, _ in synset.pointers if s == "@i" for w in net.synsets[pos, at].words}
    if WITHOUT.search(name) or not (BY_NAME.match(name) or hypernyms & WITH_THE):
        return country_name("", {"name": name})
    return "the " + name
