"""A reader of WordNet 3.0's database files (wndb(5WN)): synsets, senses in order of frequency, plurals."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
PERSON = 18  # number of the lexicographer file noun.person


@dataclass(frozen=True)
class Synset:
    """One meaning: its words (spaces for underscores), pointers (symbol, part of speech, offset,
    source/target word numbers as four hexadecimal digits) and gloss."""

    pos: str
    lexfile: int
    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, int, str], ...]
    gloss: str

    @property
    def is_instance(self) -> bool:
        """A named person, place or event, not a common word."""
        return any(symbol == "@i" for symbol, *_ in self.pointers)


class WordNet:
    """The database in `folder` (the one that holds data.noun)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.synsets: dict[tuple[str, int], Synset] = {}
        self.senses: dict[str, dict[str, list[int]]] = defaultdict(dict)  # lemma -> pos -> offsets
        for pos, name in POS.items():
            self._read_data(pos, folder / f"data.{name}")
            self._read_index(pos, folder / f"index.{name}")

    def _read_data(self, pos: str, path: Path) -> None:
        for line in path.read_text("latin-1").splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, _, gloss = line.partition(" | ")
            field = head.split(" ")
            n_words = int(field[3], 16)
            words = tuple(w.split("(")[0].replace("_", " ") for w in field[4 : 4 + 2 * n_words : 2])
            at = 5 + 2 * n_words
            n_pointers = int(field[at - 1])
            pointers = tuple(
                (field[i], field[i + 2].replace("s", "a"), int(field[i + 1]), field[i + 3])
                for i in range(at, at + 4 * n_pointers, 4)
            )
            self.synsets[pos, int(field[0])] = Synset(pos, int(field[1]), words, pointers, gloss.strip())

    def _read_index(self, pos: str, path: Path) -> None:
        for line in path.read_text("latin-1").splitlines():
            if line.startswith("  "):
                continue
            field = line.split()
            n_senses, n_symbols = int(field[2]), int(field[3])
            offsets = [int(o) for o in field[6 + n_symbols : 6 + n_symbols + n_senses]]
            self.senses[field[0].replace("_", " ")][pos] = offsets

    @cached_property
    def counts(self) -> dict[tuple[str, str], int]:
        """(lemma, pos) -> how often its senses were tagged in WordNet's own texts."""
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for line in (self.folder / "cntlist.rev").read_text("latin-1").splitlines():
            key, _, count = line.split()
            lemma, _, rest = key.partition("%")
            counts[lemma.replace("_", " "), "nvara"[int(rest[0]) - 1]] += int(count)
        return counts

    def first_sense(self, lemma: str) -> tuple[Synset, str]:
        """The commonest meaning of `lemma` and the spelling that it has there ("japan" -> "Japan")."""
        by_pos = self.senses[lemma]
        pos = max(by_pos, key=lambda p: (self.counts.get((lemma, p), 0), -"nvar".index(p)))
        synset = self.synsets[pos, by_pos[pos][0]]
        return synset, next((w for w in synset.words if w.lower() == lemma), lemma)

    def plurals(self) -> dict[str, list[str]]:
        """Irregular plurals: singular -> its plurals."""
        found = defaultdict(list)
        for line in (self.folder / "noun.exc").read_text("latin-1").splitlines():
            plural, *singulars = line.replace("_", " ").split()
            for singular in singulars:
                found[singular].append(plural)
        return found
