"""Questions put together from frames, carriers, openers and endings, in three disjoint splits.

A *frame* is the core of a question: a noun phrase ("the capital of {s}") that goes into a *carrier*
("Could you tell me {p}?"), or a whole question ("Which city is {s}'s capital?"). Frames that differ by
one word form a cluster, and a whole cluster goes to one split, so a validation or test wording is at
least two words away from every trained wording of its kind. Carriers, openers and endings have
held-out members too.
"""

import hashlib
import random
import re
from functools import cache

from . import wordings_words, wordings_world

POLITE = {  # openers for `ways`
    "train": ("Please: ", "Excuse me, ", "Please tell me: ", "Hello! "),
    "validation": ("If I may ask: ", "Hello there, "),
    "test": ("Pardon me, ", "Good afternoon! ", "By the way, "),
}
SPLITS = ("train", "validation", "test")
PHRASES = {
    k: [w.strip() for w in text.split("|")] for k, text in {**wordings_words.PHRASES, **wordings_world.PHRASES}.items()
}
QUESTIONS = {
    k: [w.strip() for w in text.split("|")]
    for k, text in {**wordings_words.QUESTIONS, **wordings_world.QUESTIONS}.items()
}

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
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
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


@cache
def split_frames() -> dict[str, dict[str, tuple[tuple[str, bool], ...]]]:
    """kind -> split -> its frames, each with whether it is a noun phrase. The same on every machine.

    Of each kind, the largest cluster of near wordings and the clusters of pinned wordings are for training;
    the others are drawn, in an order given by a hash, for test and validation until their shares are
    reached, and the rest is for training.
    """
    frames = {kind: [(p, True) for p in PHRASES[kind]] + [(q, False) for q in QUESTIONS[kind]] for kind in PHRASES}
    parent = {text: text for listed in frames.values() for text, _ in listed}

    def root(text: str) -> str:
        while parent[text] != text:
            text = parent[text]
        return text

    for listed in frames.values():
        for i, (a, _) in enumerate(listed):
            for b, _ in listed[:i]:
                if near(core(a), core(b)):
                    parent[root(a)] = root(b)
    split_of: dict[str, str] = {}
    for listed in frames.values():
        clusters: dict[str, list[str]] = {}
        for text, _ in listed:
            clusters.setdefault(root(text), []).append(text)
        order = sorted(clusters, key=lambda r: hashlib.sha256(r.encode()).hexdigest())
        largest = max(order, key=lambda r: len(clusters[r]))
        for cluster in order:
            if cluster == largest or PINNED.intersection(clusters[cluster]):
                split_of.setdefault(cluster, "train")
        for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
            wanted = share * len(listed) - sum(len(c) for r, c in clusters.items() if split_of.get(r) == split)
            for cluster in order:
                if cluster not in split_of and wanted > 0 and len(clusters[cluster]) <= wanted + 1:
                    split_of[cluster] = split
                    wanted -= len(clusters[cluster])
        for cluster in order:
            split_of.setdefault(cluster, "train")
    return {
        kind: {split: tuple((t, p) for t, p in listed if split_of[root(t)] == split) for split in SPLITS}
        for kind, listed in frames.items()
    }


def question(kind: str, subject: str, split: str, rng: random.Random) -> str:
    """One question of `kind` about `subject` in a wording of `split`.

    Held-out splits use held-out frames always, and held-out carriers, openers and endings every other time.
    """
    frame, is_phrase = rng.choice(split_frames()[kind][split])
    source = split if rng.random() < 0.5 else "train"
    if is_phrase:
        carrier = "What is {p}?" if source == "train" and rng.random() < 0.25 else rng.choice(CARRIERS[source])
        frame = carrier.replace("{p}", frame)
    if rng.random() < 0.12 and kind in ("define", "synonym", "antonym", "jargon"):
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
    frame, is_phrase = rng.choice(split_frames()[kind][split])
    text = frame if not is_phrase else rng.choice(("What is {p}?", "Tell me {p}.")).replace("{p}", frame)
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
    own = [f[6:] for f, is_phrase in split_frames()[kind][split] if is_phrase and f.startswith("{s}'s ")]
    if not own:
        return None
    phrase = "its " + rng.choice(own)
    text = rng.choice(("And {p}?", "What is {p}?", "And what is {p}?", "And {p}, please.", "Tell me {p}.")).replace(
        "{p}", phrase
    )
    return text.lower() if rng.random() < 0.25 else text
