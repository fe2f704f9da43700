"""Prose for fluency: WordNet's example sentences and the running text of Python's documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

from .facts_words import OFFENSIVE
from .facts_world import plain
from .wordnet import WordNet


def sentences(sources: dict[str, Path]) -> Iterator[str]:
    """WordNet's examples of whole sentences ("he felt happy when his team won")."""
    net = WordNet(sources["wordnet-base"] / "usr/share/wordnet")
    for synset in net.synsets.values():
        for example in re.findall(r'"([^"]+)"', synset.gloss):
            if len(example.split()) >= 5 and example.isascii() and not OFFENSIVE.search(synset.gloss + example):
                text = example.strip(" .;,")
                yield text[0].upper() + text[1:] + ("" if text[-1] in "?!" else ".")


def paragraphs(sources: dict[str, Path]) -> Iterator[str]:
    """Paragraphs of the tutorial, the how-tos, the questions and answers and the library's introductions."""
    root = sources["python3.11-doc"] / "usr/share/doc/python3.11/html/_sources"
    for part in ("tutorial", "howto", "faq", "library", "using", "reference", "whatsnew"):
        for path in sorted((root / part).glob("*.rst.txt")):
            for block in path.read_text("utf-8").split("\n\n"):
                text = plain_text(block)
                if text and 80 <= len(text) <= 700:
                    yield text


def plain_text(block: str) -> str | None:
    """A paragraph of reStructuredText as plain text; None for headings, lists, code and directives."""
    if not re.match(r"[A-Z]", block) or re.search(r"^(\s|[-=~^*#+|.])", block, re.M) or "::" in block:
        return None
    text = re.sub(r":[a-z:]+:`~?([^`<]*?)(?: <[^>]*>)?`", r"\1", " ".join(block.split()))
    text = plain(
        re.sub(r"`([^`<]*?)(?: <[^>]*>)?`_*", r"\1", text.replace("``", "`")).replace("*", "").replace("\\", "")
    )
    return text if text.isascii() and text.endswith(".") and text.count("`") == 0 else None
