"""Questions put together from frames, carriers, openers and endings, in three disjoint splits.

A *frame* is the core of a question: a noun phrase ("the capital of {s}") or a clause ("where {s} lies") that goes
into a *carrier* ("Could you tell me {p}?"), or a whole question ("Which city is {s}'s capital?"). Frames that come
from one pattern ("(What/Which) city is the capital of {s}?") are a family; families are drawn alike. A held-out
frame is at least two words away from every trained frame of its kind, and validation from test: frames in between
belong to no split. Carriers, openers and endings have held-out members too.
"""

import hashlib
import random
import re
from functools import cache

from . import wordings_combined, wordings_words, wordings_world

POLITE = {  # openers for `ways`
    "train": ("Please: ", "Excuse me, ", "Please tell me: ", "Hello! "),
    "validation": ("If I may ask: ", "Hello there, "),
    "test": ("Pardon me, ", "Good afternoon! ", "By the way, "),
}
SPLITS = ("train", "validation", "test")
CLAUSE = re.compile(r"(what|which|who|where|when|how) ")
CARRIERS = {
    "train": (
        "What is {p}?",
        "What's {p}?",
        "Tell me {p}.",
        "Give me {p}.",
        "Name {p}.",
        "Do you know {p}?",
        "Can you tell me {p}?",
        "Could you tell me {p}?",
        "I want to know {p}.",
        "I'd like to know {p}.",
        "I need {p}.",
        "{p}?",
        "{p}",
        "Please tell me {p}.",
        "Say {p}.",
        "Let me know {p}.",
        "I am looking for {p}.",
        "What would be {p}?",
        "Remind me of {p}.",
        "I forgot {p}.",
        "Please give me {p}.",
        "Can you name {p}?",
        "Could I get {p}?",
        "Would you tell me {p}?",
        "Any idea what {p} is?",
        "Do you know what {p} is?",
        "Tell me what {p} is.",
        "I wonder what {p} is.",
        "Can you say what {p} is?",
        "Show me {p}.",
        "Look up {p}.",
        "Find {p}.",
        "What exactly is {p}?",
        "Can you give me {p}?",
        "I don't know {p}.",
        "I can't remember {p}.",
        "You surely know {p}.",
        "My question is about {p}.",
        "I would like to know what {p} is.",
        "Can you find {p}?",
        "What do you think is {p}?",
        "Would you know {p}?",
        "Please name {p}.",
        "Do you remember {p}?",
        "Which is {p}?",
        "Now tell me {p}.",
        "Answer me: what is {p}?",
        "Help me with {p}.",
    ),
    "validation": (
        "Could you look up {p}?",
        "I'm curious about {p}.",
        "May I ask what {p} is?",
        "Do you have {p}?",
        "It would help to know {p}.",
    ),
    "test": (
        "Would you happen to know {p}?",
        "I was wondering what {p} is.",
        "Could you remind me what {p} is?",
        "Kindly tell me {p}.",
        "I'd love to hear {p}.",
        "Have you got {p}?",
    ),
}
CLAUSE_CARRIERS = {
    "train": (
        "Tell me {p}.",
        "Do you know {p}?",
        "Can you tell me {p}?",
        "Could you tell me {p}?",
        "I want to know {p}.",
        "I'd like to know {p}.",
        "Please tell me {p}.",
        "Say {p}.",
        "Let me know {p}.",
        "I forgot {p}.",
        "Would you tell me {p}?",
        "Any idea {p}?",
        "I wonder {p}.",
        "Can you say {p}?",
        "Please explain {p}.",
        "I don't know {p}.",
        "I would like to know {p}.",
    ),
    "validation": ("May I ask {p}?", "It would help to know {p}."),
    "test": (
        "I was wondering {p}.",
        "Could you remind me {p}?",
        "Would you happen to know {p}?",
        "Kindly tell me {p}.",
    ),
}
OPENERS = {
    "train": (
        "Hello! ",
        "Hi, ",
        "Hey, ",
        "Hi! ",
        "Please: ",
        "Quick question: ",
        "Question: ",
        "Excuse me, ",
        "So, ",
        "Well, ",
        "Okay, ",
        "Ok, ",
        "Sorry, ",
        "One more question: ",
        "My friend asks: ",
        "Good morning. ",
        "Tell me, ",
        "Tell me: ",
        "I have a question. ",
        "For a quiz: ",
        "Just curious: ",
        "Next question: ",
        "And ",
        "Please tell me: ",
        "Good evening! ",
        "I was asked: ",
        "Do you know: ",
        "Can you help me? ",
        "Could you please tell me: ",
        "Hello, ",
        "Now, ",
        "Then ",
        "Dear model, ",
    ),
    "validation": ("Hello there, ", "A small question: ", "If I may ask: ", "Can I ask you something? "),
    "test": ("Pardon me, ", "Good afternoon! ", "By the way, ", "Homework question: ", "Hey there! "),
}
ENDINGS = {
    "train": (
        " Thanks.",
        " Please.",
        " Thank you!",
        " please",
        " Thanks!",
        " Thanks in advance.",
        " I forgot.",
        " Thank you.",
        " I want to know.",
        " A short answer, please.",
        " Do you know?",
        " I have forgotten.",
        " I am not sure.",
        " I keep forgetting.",
        " Just wondering.",
        " It is for school.",
        " I never knew.",
        " I can't say.",
        " That is my question.",
        " Tell me quickly.",
        " My teacher asks.",
        " I can't find it.",
        " I need it now.",
        " Only the answer, please.",
        " We are curious.",
        " I should remember this.",
        " Be brief.",
        " I looked everywhere.",
    ),
    "validation": (" Thank you very much.", " I can't recall."),
    "test": (" Many thanks.", " Any idea?", " Cheers!"),
}
FOLLOW_UPS = {
    "train": (
        "And {s}?",
        "What about {s}?",
        "How about {s}?",
        "And for {s}?",
        "and {s}",
        "Same for {s}?",
        "Now {s}.",
        "And what about {s}?",
        "The same for {s}, please.",
        "{s}?",
    ),
    "validation": ("And how about {s}?", "Then {s}?"),
    "test": ("And in the case of {s}?", "Okay, and {s}?"),
}
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
}
SALT = 2  # another number, another draw of the held-out frames
SHARES = {"test": 0.1, "validation": 0.06}  # of a kind's families, about
AN = re.compile(r"\b([Aa]) (?=[aeioAEIO])")


STRAY_WORDS = re.findall(
    r"\w+",
    """really still maybe perhaps simply just again today now always often ever only also even rather quite mainly
    about around above against along among at before behind below beside between by despite during except from
    inside into near off on onto out outside over past per since through toward under until up upon via with
    within without fit fits cover covers take takes give gives hold holds keep keeps bring brings come comes go
    goes say says call calls write writes read reads find finds look looks see sees hear hears know knows think
    thinks mean means show shows tell make makes put puts get gets use uses need needs want wants like likes
    pass passes away leave leaves enter enters end ends start starts begin begins stop stops turn turns move
    moves live lives stay stays stand stands lie lies sit sits reach reaches meet meets touch touches join joins
    carry carries send sends pay pays buy sell count counts measure name names list lists point points match
    matches describe describes choose pick sort sorts replace swap change phone phoning calling writing reading
    finding looking using taking giving going coming having being saying telling naming good best better right
    proper correct exact usual common normal real true full whole short long big small large little main first
    last next other another same different new old certain single special general local national official person
    people man woman thing place part side way case fact point word term name number group class form line list
    time day year world country land home book page school teacher friend student table question answer reason
    example anyone someone anybody nobody everybody everyone something anything nothing everything somewhere
    anywhere we they he she you us them him her our your his their""",
)


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
    ):
        for kind, text in wordings.items():
            seen = {frame for family in found.get(kind, []) for frame in family}
            for pattern in text.split("|"):
                family = [f for f in dict.fromkeys(expand(pattern)) if f not in seen and "{s}" in f]
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


def _is_phrase(frame: str) -> bool:
    return frame[0].islower()


def _fill(frame: str, source: str, rng: random.Random) -> str:
    """A frame as a question about {s}: noun phrases and clauses get a carrier of `source`."""
    if not _is_phrase(frame):
        return frame
    if CLAUSE.match(frame):
        return rng.choice(CLAUSE_CARRIERS[source]).replace("{p}", frame)
    carrier = "What is {p}?" if source == "train" and rng.random() < 0.25 else rng.choice(CARRIERS[source])
    return carrier.replace("{p}", frame)


def question(kind: str, subject: str, split: str, rng: random.Random) -> str:
    """One question of `kind` about `subject` in a wording of `split`.

    Held-out splits use held-out frames always, and held-out carriers, openers and endings every other time.
    """
    source = split if rng.random() < 0.5 else "train"
    frame = rng.choice(rng.choice(split_frames()[kind][split]))
    if split == "train" and rng.random() < 0.15:
        frame = _disturb(frame, kind, rng)
    frame = _fill(frame, source, rng)
    if rng.random() < (0.25 if split == "train" else 0.12) and kind in ("define", "synonym", "antonym", "jargon"):
        frame = frame.replace("{s}", rng.choice(('"{s}"', "'{s}'")))
    text = AN.sub(r"\1n ", frame.replace("{s}", subject))
    return _dress(text, source, rng)


def _dress(text: str, source: str, rng: random.Random) -> str:
    """Capital letter, opener, ending, missing mark, lower case: the ways of typing one question."""
    draw = rng.random()
    if draw < 0.62:
        text = text[0].upper() + text[1:]
    elif draw < 0.94:
        opener = rng.choice(OPENERS[source])
        text = opener + (
            text[0].lower() + text[1:]
            if opener.endswith((", ", "And ", "Then "))
            and text[1:2] != "'"
            and not text[:2].isupper()
            and not text.startswith("I ")
            else text[0].upper() + text[1:]
        )
    if text.endswith(("?", ".")) and rng.random() < 0.1:
        text += rng.choice(ENDINGS[source])
    elif rng.random() < 0.22:
        text = text.rstrip("?.")
    return text.lower() if rng.random() < 0.22 else text


def ways(kind: str, subject: str, split: str, rng: random.Random) -> dict[str, str]:
    """One question as one writes it, in lower case, with a polite opener, and without its final mark."""
    frame = rng.choice(rng.choice(split_frames()[kind][split]))
    if _is_phrase(frame):
        carriers = ("Tell me {p}.", "Do you know {p}?") if CLAUSE.match(frame) else ("What is {p}?", "Tell me {p}.")
        frame = rng.choice(carriers).replace("{p}", frame)
    text = frame
    text = AN.sub(r"\1n ", text.replace("{s}", subject))
    text = text[0].upper() + text[1:]
    opener = rng.choice(POLITE[split])
    after = text if not opener.endswith(", ") or text.startswith(subject) else text[0].lower() + text[1:]
    return {"plain": text, "lower": text.lower(), "polite": opener + after, "no_mark": text.rstrip("?.")}


def follow_up(kind: str, subject: str, split: str, rng: random.Random) -> str:
    """A second question of the same kind about another subject ("And Spain?")."""
    text = rng.choice(FOLLOW_UPS[split]).replace("{s}", subject)
    return text.lower() if rng.random() < 0.25 else text


def about_it(kind: str, split: str, rng: random.Random) -> str | None:
    """A second question about the subject of the first ("And what is its currency?"), or None."""
    frames = [f for family in split_frames()[kind][split] for f in family]
    own = [f[6:] for f in frames if f.startswith("{s}'s ") and f[-1] not in "?."]
    if not own:
        return None
    phrase = "its " + rng.choice(own)
    text = rng.choice(("And {p}?", "What is {p}?", "And what is {p}?", "And {p}, please.", "Tell me {p}.")).replace(
        "{p}", phrase
    )
    return text.lower() if rng.random() < 0.25 else text
