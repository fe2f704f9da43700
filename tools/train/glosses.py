"""WordNet's glosses as short values of facts."""

import re

LONGEST_VALUE = 110  # characters; a longer gloss is cut at its last clause
OFFENSIVE = re.compile(
    r"ethnic slur|offensive|obscene|vulgar|disparaging|derogatory|sexual|genital|copulat|"
    r"prostitut|excrement|\brape\b|homosexual"
)
NO_ARTICLE = re.compile(r"(a|an|the|one|any|two|three|four|several|some|all|each|either)\b", re.I)
AN = re.compile(r"(?!uni|eur|use|usu|one\b|once)[aeiou]|honest|hono|hour|heir", re.I)


def definition(gloss: str) -> str:
    """The first clause of a gloss, without examples and remarks in brackets."""
    text = gloss.split('; "')[0]
    text = re.sub(r"\([^()]*\)", " ", text)
    text = re.sub(r"\([^)]*$|^[^(]*\)", " ", text)
    text = text.replace("`", "'").replace("--", ",").split(";")[0]
    text = " ".join(text.split()).replace(" ,", ",").strip(" ,:.")
    if len(text) > LONGEST_VALUE:
        head = text[:LONGEST_VALUE]
        cut = max(head.rfind(mark) for mark in (", ", " that ", " which ", " who ", " and ", " or ", " with "))
        text = head[:cut] if cut > 30 else head.rsplit(" ", 1)[0]
        text = re.sub(r"( (a|an|the|of|to|in|by|for|and|or|with|that|from|as|on|is|are))+$", "", text).strip(" ,")
    return text


def with_article(text: str) -> str:
    """ "physicist born in Germany" -> "a physicist born in Germany"."""
    if NO_ARTICLE.match(text):
        return text
    if text.startswith("capital"):
        return "the " + text
    return ("an " if AN.match(text) else "a ") + text


def usable(value: str) -> bool:
    """Whether a gloss can be an answer."""
    return 4 <= len(value) <= LONGEST_VALUE + 1 and value.isascii() and '"' not in value
