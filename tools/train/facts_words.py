"""Facts about words, people and places (WordNet), hacker slang, Python modules and HTTP (Debian packages)."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from .facts_names import names
from .facts_world import Row, country_names, plain
from .glosses import LONGEST_VALUE, OFFENSIVE, definition, usable
from .wordnet import Synset, WordNet

FIRST = {
    "serendipity",
    "photosynthesis",
    "volcano",
    "ephemeral",
    "eclipse",
    "hot",
    "Albert Einstein",
}  # asked by newcomers
PART_OF_SPEECH = (
    r"^\W*(?:(?:n|v|adj|vt|vi|adv|interj|excl|obs|prep|abbrev|quant|suff|pref)\b"
    r"\.?[,; ]*(?:,? ?vt\.|,? ?vi\.)?)+"
)  # of an entry of the Jargon File


def frequency_order(sources: dict[str, Path]) -> dict[str, int]:
    """Word -> rank, 0 the commonest (wordfreq's English list)."""
    import msgpack

    with gzip.open(sources["wordfreq"] / "wordfreq/data/large_en.msgpack.gz") as file:
        buckets = msgpack.load(file, raw=False)[1:]
    return {word: rank for rank, word in enumerate(w for bucket in buckets for w in bucket)}


def words(sources: dict[str, Path], n_definitions: int, n_names: int) -> Iterator[Row]:
    """Definitions, hypernyms, synonyms, opposites, plurals, parts, people and places of WordNet."""
    net = WordNet(sources["wordnet-base"] / "usr/share/wordnet")
    rank_of = frequency_order(sources)
    last = len(rank_of)

    def order(lemma: str) -> tuple[bool, bool, int, str]:
        return lemma not in FIRST, " " in lemma, rank_of.get(lemma, last), lemma

    lemmas = sorted((w for w in net.senses if re.fullmatch(r"[a-z][a-z' -]+", w)), key=order)
    n_taken = 0
    for lemma in lemmas:
        synset, word = net.first_sense(lemma)
        value = definition(synset.gloss)
        if synset.is_instance or OFFENSIVE.search(synset.gloss) or not usable(value):
            continue
        if n_taken < n_definitions:
            docs = 12 if n_taken < 3_000 else 6 if n_taken < 15_000 else 5
            yield "define", word, _as_said(synset.pos, value), (), docs
            yield from _as_noun_and_verb(net, lemma, word, n_taken)
            yield from _relations(net, lemma, synset, word, n_taken)
            n_taken += 1
    for singular, plurals in sorted(net.plurals().items()):
        known = [p for p in plurals if rank_of.get(p, last) < 60_000 and p != singular]
        if known and "n" in net.senses.get(singular, ()) and rank_of.get(singular, last) < 60_000:
            yield "plural", singular, min(known, key=rank_of.get), (), 8
    yield from names(net, n_names, country_names(sources))


def _as_said(pos: str, value: str) -> str:
    """A verb's gloss with its "to", once."""
    return "to " + value if pos == "v" and not value.startswith("to ") else value


def _as_noun_and_verb(net: WordNet, lemma: str, word: str, rank: int) -> Iterator[Row]:
    """What "a run", "to water" mean, whichever the commonest meaning of the word is."""
    docs = 5 if rank < 3_000 else 4 if rank < 12_000 else 2
    for kind, other in (("noun", "n"), ("verb", "v")):
        if other in net.senses[lemma] and word.islower():
            synset = net.synsets[other, net.senses[lemma][other][0]]
            value = definition(synset.gloss)
            if not synset.is_instance and not OFFENSIVE.search(synset.gloss) and usable(value):
                yield kind, word, _as_said(other, value), (), docs


def _relations(net: WordNet, lemma: str, synset: Synset, word: str, rank: int) -> Iterator[Row]:
    docs = 6 if rank < 15_000 else 5
    pointers = {}
    for symbol, pos, offset, _ in synset.pointers:
        pointers.setdefault(symbol, net.synsets[pos, offset])
    if synset.pos == "n" and "@" in pointers and rank < 40_000:
        yield "kind_of", word, pointers["@"].words[0], (), docs
    if synset.pos == "n" and "#p" in pointers and word.islower() and not pointers["#p"].is_instance:
        yield "part_of", word, pointers["#p"].words[0], (), docs
    other = []
    for offset in net.senses[lemma][synset.pos][:4]:  # the first of its meanings that has another word
        same = net.synsets[synset.pos, offset].words
        other = other or [w for w in same if w.lower() != lemma and lemma not in w.lower() and w.isascii()]
    if other and rank < 40_000:
        yield "synonym", word, min(other, key=lambda w: " " in w), (), docs
    if synset.pos == "r" and "\\" in pointers:
        place = [w.lower() for w in synset.words].index(lemma) + 1
        for symbol, pos, offset, numbers in synset.pointers:
            if symbol == "\\" and int(numbers[:2], 16) == place:
                yield "adverb_of", word, net.synsets[pos, offset].words[int(numbers[2:], 16) - 1], (), docs
    opposite = _opposite(net, lemma)
    if opposite:
        yield "antonym", word, opposite, (), docs


def _opposite(net: WordNet, lemma: str) -> str | None:
    """The word that WordNet opposes to the commonest sense that has an opposite; adjectives first."""
    for pos in "avnr":
        for offset in net.senses[lemma].get(pos, ())[:4]:
            synset = net.synsets[pos, offset]
            for symbol, other_pos, other, numbers in synset.pointers:
                if symbol == "!" and synset.words[int(numbers[:2], 16) - 1].lower() == lemma:
                    return net.synsets[other_pos, other].words[int(numbers[2:], 16) - 1]
    for offset in net.senses[lemma].get("a", ())[:1]:  # else of the adjective that it is close to
        for symbol, pos, near, _ in net.synsets["a", offset].pointers:
            for mark, other_pos, other, _ in net.synsets[pos, near].pointers if symbol == "&" else ():
                if mark == "!":
                    return net.synsets[other_pos, other].words[0]
    return None


def computing(sources: dict[str, Path]) -> Iterator[Row]:
    """Hacker slang that WordNet lacks, Python's standard modules, HTTP status codes."""
    docs_root = sources["python3.11-doc"] / "usr/share/doc/python3.11/html/_sources/library"
    for path in sorted(docs_root.glob("*.rst.txt")):
        text = path.read_text("utf-8")
        for name, about in re.findall(r"^\.\. module:: (\S+)\n(?:   :[a-z]+:.*\n)*?   :synopsis: (.+)$", text, re.M):
            about = re.sub(r"[`*]", "", about).strip(" .")
            if len(about) <= LONGEST_VALUE and about.isascii():
                yield "python_module", name, about[0].lower() + about[1:] if about[1:2].islower() else about, (), 8
    for code, name in re.findall(r"^``(\d{3})`` ``([A-Z_]+)``", (docs_root / "http.rst.txt").read_text("utf-8"), re.M):
        yield "http_status", code, name.replace("_", " ").lower(), (), 8
    yield from _jargon(sources)


def _jargon(sources: dict[str, Path]) -> Iterator[Row]:
    net = WordNet(sources["wordnet-base"] / "usr/share/wordnet").senses
    book = sources["dict-jargon"] / "usr/share/dictd"
    with gzip.open(book / "jargon.dict.dz") as file:
        text = file.read().decode("utf-8", "replace")
    for entry in re.split(r"\n(?=\S)", text)[1:]:
        head, _, body = entry.partition("\n")
        head = head.strip()
        body = re.sub(r"/[^/\n]*/,?|\[[^\]]*\]|\b\d+\.|[{}]", " ", body)
        body = plain(re.sub(r"[\u201c\u201d]", '"', " ".join(body.split())))
        body = re.sub(PART_OF_SPEECH, "", body)
        value = re.split(r"(?<=[a-z\)])\. |,? esp\.|\. $|\.$|; ", re.sub(r"\([^()]*\)", "", body))[0].strip(" .,:")
        if head.lower() in net or not re.fullmatch(r"[A-Za-z][A-Za-z0-9' .-]{1,30}", head):
            continue
        if 12 <= len(value) <= LONGEST_VALUE and value.isascii() and '"' not in value and not OFFENSIVE.search(entry):
            lower_first = value[0].lower() + value[1:] if value[1:2].islower() or value[1:2] == " " else value
            yield "jargon", head, lower_first, (), 8
