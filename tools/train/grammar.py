"""Questions put together from frames, carriers, openers and endings, in three disjoint splits.

A *frame* is the core of a question: a noun phrase ("the capital of {s}") or a clause ("where {s} lies") that goes
into a *carrier* ("Could you tell me {p}?"), or a whole question ("Which city is {s}'s capital?"). Frames that come
from one pattern ("(What/Which) city is the capital of {s}?") are a family; families are drawn alike. A held-out
frame is at least two words away from every trained frame of its kind, and validation from test: frames in between
belong to no split. Carriers, openers and endings have held-out members too. The split "all" holds everything: the
shipped model trains on it, its twin on "train".
"""

import hashlib
import random
import re
from functools import cache

from . import wordings_combined, wordings_more, wordings_typed, wordings_words, wordings_world
from .facts import OPEN_KINDS
from .wordings_dress import CARRIERS, CLAUSE_CARRIERS, ENDINGS, FOLLOW_UPS, OPENERS, POLITE, STRAY_WORDS
from .wordings_more import ABOUT_IT, SURE

__all__ = [
    "ABOUT_IT", "SPLITS", "SURE", "about_it", "dress", "expand", "follow_up", "meant", "question", "typo", "ways",
]  # fmt: skip

SPLITS = ("train", "validation", "test")
CLAUSE = re.compile(r"(what|which|who|where|when|how) ")
# What newcomers type first is never held out (nor anything near it).
PINNED = {
    "What does {s} mean?",
    "What is {s}?",
    "Define {s}.",
    "Who was {s}?",
    "Who is {s}?",
    "Where is {s}?",
    "Tell me about {s}.",
    "When was {s} born?",
    "When did {s} die?",
    "How many people live in {s}?",
    "How big is {s}?",
    "the capital of {s}",
    "the currency of {s}",
    "the opposite of {s}",
    "another word for {s}",
    "the chemical symbol of {s}",
    "the atomic number of {s}",
    "the population of {s}",
    "{s}",
    "{s}?",
    "{s} in python",
    "What is a {s}?",
    "a {s}",
    "{s} is a state capital: of which state?",
}
SALT = 2  # another number, another draw of the held-out frames
SHARES = {"test": 0.1, "validation": 0.06}  # of a kind's families, about
AN = re.compile(r"\b([Aa]) (?=[aeioAEIO])")


def core(frame: str) -> tuple[str, ...]:
    """The words of a frame, without case, marks and the bare "what is" around a noun phrase."""
    words = re.sub(r"[^a-z0-9{}' ]", " ", frame.lower().replace("'s", " 's").replace("{s}", " {s} ")).split()
    for lead in (("what", "is"), ("what", "'s"), ("who", "is")):
        if tuple(words[:2]) == lead:
            words = words[2:]
    return tuple(words)


def near(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """At most one word inserted, removed or replaced."""
    if abs(len(a) - len(b)) > 1:
        return False
    i = 0
    while i < min(len(a), len(b)) and a[i] == b[i]:
        i += 1
    rest_a, rest_b = a[i:], b[i:]
    return rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]


def expand(pattern: str) -> list[str]:
    """ "(Say/Tell me) it." -> ["Say it.", "Tell me it."]; innermost brackets first."""
    choice = re.search(r"\(([^()]*)\)", pattern)
    if not choice:
        return [re.sub(r" +(?=[?.,])", "", " ".join(pattern.split()))]
    head, tail = pattern[: choice.start()], pattern[choice.end() :]
    return [text for one in choice[1].split("/") for text in expand(head + one + tail)]


@cache
def families() -> dict[str, list[list[str]]]:
    """kind -> its families of frames; a frame is in one family only."""
    found: dict[str, list[list[str]]] = {}
    for wordings in (
        wordings_words.PHRASES,
        wordings_words.QUESTIONS,
        wordings_world.PHRASES,
        wordings_world.QUESTIONS,
        wordings_combined.PATTERNS,
        wordings_more.PATTERNS,
        wordings_typed.PATTERNS,
    ):
        for kind, text in wordings.items():
            seen = {frame for family in found.get(kind, []) for frame in family}
            for pattern in text.split("|"):
                family = [f for f in dict.fromkeys(expand(pattern)) if f not in seen and "{s}" in f]
                if kind == "define":  # "a run" is asked of the noun
                    family = [f for f in family if not re.search(r"\ba \{s\}", f)]
                seen.update(family)
                if family:
                    found.setdefault(kind, []).append(family)
    return found


def _shapes(words: tuple[str, ...]) -> set[tuple]:
    """The words themselves, and with one left out or hidden; near frames have a shape in common."""
    return {words} | {words[:i] + mark + words[i + 1 :] for i in range(len(words)) for mark in ((), ("*",))}


def _neighbours(frames: list[str]) -> dict[str, set[str]]:
    """Frame -> the other frames whose cores are at most one word away."""
    by_shape: dict[tuple, list[str]] = {}
    for frame in frames:
        for shape in _shapes(core(frame)):
            by_shape.setdefault(shape, []).append(frame)
    cores = {frame: core(frame) for frame in frames}
    around: dict[str, set[str]] = {frame: set() for frame in frames}
    for alike in by_shape.values():
        for a in alike:
            around[a].update(b for b in alike if b != a and near(cores[a], cores[b]))
    return around


@cache
def split_frames() -> dict[str, dict[str, list[list[str]]]]:
    """kind -> split -> families of frames. The same on every machine.

    Frames are visited in an order given by a hash. One that lands in a held-out split takes its near frames along,
    and the frames near to those are used nowhere. Pinned frames are for training. A frame that two kinds share is
    in the same split for both.
    """
    around: dict[str, set[str]] = {}
    kinds_of: dict[str, list[str]] = {}
    for kind, listed in families().items():
        frames = [frame for family in listed for frame in family]
        for frame, others in _neighbours(frames).items():
            around.setdefault(frame, set()).update(others)
            kinds_of.setdefault(frame, []).append(kind)
    split_of: dict[str, str] = {frame: "train" for frame in around if frame in PINNED}
    order = sorted(around, key=lambda frame: hashlib.sha256(f"{SALT} {frame}".encode()).hexdigest())
    for split, share in SHARES.items():
        missing = {kind: share * len(listed) for kind, listed in families().items()}
        for frame in order:
            taken = around[frame] | {frame}
            buffer = {b for t in taken for b in around[t]} - taken
            fits = all(split_of.get(t) is None for t in taken) and all(split_of.get(b) in (None, "") for b in buffer)
            if fits and any(missing[kind] > 0 for kind in kinds_of[frame]) and len(taken) <= 12:
                split_of |= dict.fromkeys(taken, split) | dict.fromkeys(buffer, "")
                for kind in kinds_of[frame]:
                    missing[kind] -= 1
    result = {}
    for kind, listed in families().items():
        by_split = {s: [[f for f in family if split_of.get(f, "train") == s] for family in listed] for s in SPLITS}
        result[kind] = {s: [family for family in kept if family] for s, kept in by_split.items()}
    return result


def frames(kind: str, split: str) -> list[list[str]]:
    """Families of frames of a split; "all": every frame."""
    return families()[kind] if split == "all" else split_frames()[kind][split]


@cache
def _plain(kind: str, split: str) -> list[str]:
    """The frames of a split that people type first: bare ones and those never held out."""
    bare = {f for p in wordings_more.PATTERNS[kind].split("|") for f in expand(p)} | PINNED
    return [f for family in frames(kind, split) for f in family if f in bare]


@cache
def _open() -> frozenset[str]:
    """Frames that ask for facts of several kinds: "What is {s}?"."""
    of_kind = [{f for family in families()[kind] for f in family} for kind in OPEN_KINDS]
    return frozenset(f for some in of_kind for f in some if sum(f in other for other in of_kind) > 1)


@cache
def _parts(name: str, split: str) -> tuple[str, ...]:
    """Carriers, openers or endings of a split."""
    table = {"carriers": CARRIERS, "clauses": CLAUSE_CARRIERS, "openers": OPENERS, "endings": ENDINGS}
    table["again"] = FOLLOW_UPS
    return tuple(p for s in SPLITS for p in table[name][s]) if split == "all" else table[name][split]


@cache
def _held_out_shapes(kind: str) -> set[tuple]:
    """What a frame must not look like, to be at least two words away from the held-out frames of its kind."""
    held = [f for split in SHARES for family in split_frames()[kind][split] for f in family]
    return {shape for frame in held for shape in _shapes(core(frame))}


def _disturb(frame: str, kind: str, rng: random.Random) -> str:
    """A frame with one word replaced or added, so that words never seen in a frame are not taken for its subject."""
    words = frame.split()
    places = [i for i, word in enumerate(words) if "{s}" not in word]
    if len(places) < 3:
        return frame
    place, stray = rng.choice(places), rng.choice(STRAY_WORDS)
    if rng.random() < 0.5:
        mark = re.search(r"[?.,:]*$", words[place])[0]
        words[place] = (stray.capitalize() if words[place][0].isupper() else stray) + mark
    else:
        words.insert(max(place, 1), stray)
    disturbed = " ".join(words)
    return frame if _shapes(core(disturbed)) & _held_out_shapes(kind) else disturbed


def typo(text: str, rng: random.Random) -> str:
    """One slip of the fingers in one word of three letters or more that holds no mark in braces."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 2 and word.isascii() and "{" not in word]
    if not places:
        return text
    place = rng.choice(places)
    word, at = words[place], rng.randrange(len(words[place]) - 1)
    words[place] = rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],  # swapped
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],  # left out
            word[:at] + word[at] + word[at:],  # doubled
            word[:at] + rng.choice("aeiourstnlcdmh") + word[at + 1 :],  # replaced
        )
    )
    return " ".join(words)


@cache
def _bare() -> frozenset[str]:
    """Frames that people type as they stand: "capital {s}"; they go into no carrier."""
    bare = [*wordings_more.PATTERNS.values(), *wordings_typed.PATTERNS.values()]
    patterns = (p for text in bare for p in text.split("|"))
    return frozenset(f for p in patterns for f in expand(p) if not f.startswith("the "))


def _is_phrase(frame: str) -> bool:
    return frame[0].islower() and frame not in _bare()


def _fill(frame: str, source: str, rng: random.Random) -> str:
    """A frame as a question about {s}: noun phrases and clauses get a carrier of `source`."""
    if not _is_phrase(frame):
        return frame
    if CLAUSE.match(frame):
        return rng.choice(_parts("clauses", source)).replace("{p}", frame)
    if source in ("train", "all") and rng.random() < 0.25:
        return f"What is {frame}?"
    return rng.choice(_parts("carriers", source)).replace("{p}", frame)


def question(kind: str, subject: str, split: str, rng: random.Random, rival: str = "") -> str:
    """One question of `kind` about `subject` in a wording of `split`; rival: as in `facts.Fact`.

    Held-out splits use held-out frames always, and held-out carriers, openers and endings every other time. In the
    others three questions in ten are bare or among the first that people type, and one in seven has a typing error.
    """
    taught = split in ("train", "all")
    source = split if taught or rng.random() < 0.5 else "train"
    bare = taught and rng.random() < (0.45 if kind in ("person", "place") else 0.3)
    for _ in range(20):
        frame = rng.choice(_plain(kind, split)) if bare else rng.choice(rng.choice(frames(kind, split)))
        if bare and kind in OPEN_KINDS and rng.random() < 0.2:
            frame = "{s}"
        if rival != "same" or frame not in _open():
            break
    if taught and not bare and rng.random() < 0.15:
        frame = _disturb(frame, kind, rng)
    frame = _fill(frame, source, rng)
    if taught and rng.random() < 0.15:
        frame = typo(frame, rng)
    if rng.random() < (0.25 if taught else 0.12) and kind in ("define", "synonym", "antonym", "jargon"):
        frame = frame.replace("{s}", rng.choice(('"{s}"', "'{s}'"))) if not bare else frame
    text = AN.sub(r"\1n ", frame.replace("{s}", subject))
    if bare and rng.random() < 0.75:
        text = text + "?" if rng.random() < 0.25 and text[-1] not in "?." else text
        return text.lower() if rng.random() < 0.45 and not rival else text
    return dress(text, source, rng, lower=not rival)


def dress(text: str, source: str, rng: random.Random, *, lower: bool = True) -> str:
    """Capital letter, opener, ending, missing mark, lower case: the ways of typing one question."""
    draw = rng.random()
    if draw < 0.62:
        text = text[0].upper() + text[1:]
    elif draw < 0.94:
        opener = rng.choice(_parts("openers", source))
        text = opener + (
            text[0].lower() + text[1:]
            if opener.endswith((", ", "And ", "Then "))
            and text[1:2] != "'"
            and not text[:2].isupper()
            and not text.startswith("I ")
            else text[0].upper() + text[1:]
        )
    if text.endswith(("?", ".")) and rng.random() < 0.1:
        text += rng.choice(_parts("endings", source))
    elif rng.random() < 0.22:
        text = text.rstrip("?.")
    return text.lower() if lower and rng.random() < 0.22 else text


def ways(kind: str, subject: str, split: str, rng: random.Random) -> dict[str, str]:
    """One question as one writes it, in lower case, with a polite opener, and without its final mark."""
    frame = rng.choice(rng.choice(frames(kind, split)))
    if _is_phrase(frame):
        carriers = ("Tell me {p}.", "Do you know {p}?") if CLAUSE.match(frame) else ("What is {p}?", "Tell me {p}.")
        frame = rng.choice(carriers).replace("{p}", frame)
    text = frame
    text = AN.sub(r"\1n ", text.replace("{s}", subject))
    text = text[0].upper() + text[1:]
    opener = rng.choice(POLITE["test" if split == "all" else split])
    after = text if not opener.endswith(", ") or text.startswith(subject) else text[0].lower() + text[1:]
    return {"plain": text, "lower": text.lower(), "polite": opener + after, "no_mark": text.rstrip("?.")}


def follow_up(subject: str, split: str, rng: random.Random) -> str:
    """A second question of the same kind about another subject ("And Spain?")."""
    text = rng.choice(_parts("again", split) if rng.random() < 0.5 else wordings_more.ANOTHER).replace("{s}", subject)
    return text.lower() if rng.random() < 0.3 else text


def meant(subject: str, rng: random.Random) -> str:
    """A correction: the same about another subject ("No, I meant Spain.")."""
    text = rng.choice(wordings_more.MEANT).replace("{s}", subject)
    return text.lower() if rng.random() < 0.3 else text


@cache
def _about_it(kind: str) -> list[str]:
    return [frame for pattern in ABOUT_IT[kind].split("|") for frame in expand(pattern.strip())]


def about_it(kind: str, rng: random.Random) -> str:
    """A second question about the subject of the first ("And what is its currency?", "When was she born?")."""
    text = rng.choice(_about_it(kind))
    if text[0].islower():
        text = rng.choice(wordings_more.CARRIERS_ABOUT_IT).replace("{p}", text)
    elif rng.random() < 0.3:
        text = rng.choice(("And ", "and ", "Okay, ", "Then ")) + text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = typo(text, rng)
    if rng.random() < 0.3:
        text = text.rstrip("?.")
    return text.lower() if rng.random() < 0.3 else text
