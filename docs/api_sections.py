"""Gives the sections of this project's docstrings (Parameters:, Returns:, ...) paragraphs of their own on the site."""

import re

import griffe

SECTION = re.compile(r"\n+(Parameters|Returns|Raises|Cost|Source|Example|Twin):[ ]*")


class Sections(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring:
            obj.docstring.value = SECTION.sub(r"\n\n**\1:** ", obj.docstring.value)
