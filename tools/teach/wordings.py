"""One question in many wordings, where a user gave only one: frames, openers, endings, small letters, no mark.

What stands around a question is the pocket corpus' (tools/train/wordings_dress.py), in the same disjoint splits.
"""

import random
import re

from engram_local.tools.train.wordings_dress import CARRIERS, CLAUSE_CARRIERS, ENDINGS, OPENERS

PHRASE = re.compile(r"(?:what(?:'s| is| are| was| were)) (?P<phrase>(?:the|a|an|my|our|your|its|his|her)\b.+)", re.I)
CLAUSE = re.compile(r"(?P<word>what|who|where|when|which|how|why) (?P<rest>.+)", re.I)
AUXILIARY = re.compile(
    r"(is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|must|many|much|old|long|far|big)\b",
    re.I,
)


def reword(question: str, split: str, rng: random.Random) -> str:
    """The question in a wording of `split`: "train", "validation" or "test".

    Example: "What is the code of the door?" -> "Okay, could you tell me the code of the door? thanks"
    """
    text = question
    mark = text[-1] if text[-1] in "?." else ""
    body = text.rstrip("?. ")
    draw = rng.random()
    phrase, clause = PHRASE.fullmatch(body), CLAUSE.fullmatch(body)
    if phrase and draw < 0.5:
        text = rng.choice(CARRIERS[split]).replace("{p}", phrase["phrase"])
    elif clause and draw < 0.35 and not AUXILIARY.match(clause["rest"]):  # "who wrote it" needs no other order
        text = rng.choice(CLAUSE_CARRIERS[split]).replace("{p}", _lower_first(body))
    reworded = text != question
    text = text[0].upper() + text[1:]
    if rng.random() < 0.5 or (split != "train" and not reworded):
        opener = rng.choice(OPENERS[split])
        text = opener + (_lower_first(text) if opener.endswith((", ", "And ", "Then ")) else text)
    if mark and rng.random() < 0.12:
        text += rng.choice(ENDINGS[split])
    elif rng.random() < 0.2:
        text = text.rstrip("?.")
    return text.lower() if rng.random() < 0.2 else text


def _lower_first(text: str) -> str:
    """Without the capital letter of its question word; names keep theirs."""
    return text[0].lower() + text[1:] if CLAUSE.match(text) or PHRASE.match(text) else text
