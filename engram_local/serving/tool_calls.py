"""Calls of tools, written and read as the model's own chat template writes them.

How a template writes a call is found out by having it write one. Read are the forms that hold a JSON object with a
name and arguments (or parameters), whatever stands around it (Hermes, Qwen, Llama 3, Mistral, Granite), and those of
tags (tagged_calls.py).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engram_local.chat_template import ChatTemplate
from engram_local.errors import ModelFolderError
from engram_local.serving.tagged_calls import (
    KEYS,
    NAME,
    VALUES,
    Function,
    TaggedForm,
    common_beginning,
    definitions,
    tagged_form,
)
from engram_local.thinking import CLOSE

_PROBE_TOOL = {
    "type": "function",
    "function": {"name": NAME, "description": "x", "parameters": {"type": "object", "properties": {}}},
}
_DECODER = json.JSONDecoder()
# A small model that may write blanks between the parts of a call writes nothing else.
_ONE_SPACE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True)
class JsonForm:
    """A call is `opening`, a JSON object {name: ..., arguments: ...}, `closing`; several follow each other, each so, or
    in one JSON list."""

    opening: str
    closing: str
    arguments: str  # the key: "arguments" or "parameters"
    listed: bool  # the object stands in a list

    def read(self, text: str, functions: Sequence[Function]) -> list[tuple[str, str]] | None:
        """(name, arguments as JSON) of the calls of an answer, from its first opening on; None where there are none."""
        calls: list[tuple[str, str]] = []
        rest = text.strip()
        while rest:
            if self.opening:
                if not rest.startswith(self.opening):
                    break
                rest = rest[len(self.opening) :].lstrip()
            try:
                value, end = _DECODER.raw_decode(rest)
            except (ValueError, RecursionError):
                return calls or None
            rest = rest[end:].lstrip().removeprefix(self.closing).lstrip(" \n,;")
            for call in value if isinstance(value, list) else [value]:
                name = call.get("name") if isinstance(call, dict) else None
                if not isinstance(name, str):
                    return calls or None
                arguments = call.get(self.arguments, call.get("arguments", call.get("parameters", {})))
                calls.append(
                    (name, arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False))
                )
        return calls or None

    def grammar(self, functions: Sequence[Function], lark: Any) -> str:
        """One call of one of the functions, rules of a Lark grammar (grammar.Lark) from `call` on."""
        rules = []
        for i, function in enumerate(functions):
            parameters = function.get("parameters") or {"type": "object"}
            schema = {
                "x-guidance": _ONE_SPACE,
                "type": "object",
                "properties": {"name": {"const": function["name"]}, self.arguments: parameters},
                "required": ["name", self.arguments],
                "additionalProperties": False,
            }
            rules.append(f"function_{i}: %json {json.dumps(schema | definitions(parameters))}")
        choice = f"({' | '.join(f'function_{i}' for i in range(len(functions)))})"
        before, behind = ([lark.text(x) for x in y if x] for y in ((self.opening, "["), ("]", self.closing)))
        if not self.listed:
            before, behind = before[:-1], behind[1:]
        return "\n".join([f"call: {' SPACE '.join([*before, choice, *behind])}", "SPACE: /[ \\n]?/", *rules])


CallForm = JsonForm | TaggedForm


def knows_tools(template: ChatTemplate | None) -> bool:
    """Whether tools that a request brings reach the model."""
    if template is None:
        return False
    try:
        text = template.render([{"role": "user", "content": "x"}], tools=[_PROBE_TOOL])
    except ModelFolderError:
        return False
    return NAME in text


def call_form(template: ChatTemplate, controls: list[str]) -> CallForm | None:
    """How the template writes a call, None where that is no form that is read here. `controls`: texts of control
    tokens, which an answer's text does not hold."""
    try:
        one = _answer(template, controls, 1)
    except ModelFolderError:
        return None
    found = _json_form(one)
    if found is not None:
        return found
    try:
        return tagged_form(one, _answer(template, controls, 2))
    except ModelFolderError:
        return None


def _answer(template: ChatTemplate, controls: list[str], n: int) -> str:
    """What the model says in an answer of n calls, as the template writes it: no thoughts, no control tokens."""
    question = {"role": "user", "content": "x"}
    arguments = dict(zip(KEYS, VALUES, strict=True))
    calls = [
        {"id": f"call0000{i}", "type": "function", "function": {"name": NAME, "arguments": arguments}} for i in range(n)
    ]
    before = template.render([question], tools=[_PROBE_TOOL])
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    whole = template.render([question, message], add_generation_prompt=False, tools=[_PROBE_TOOL])
    said = whole[len(common_beginning(before, whole)) :].rpartition(CLOSE)[2]
    longest_first = sorted(controls, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "", said) if controls else said


def _json_form(said: str) -> JsonForm | None:
    at = said.rfind(KEYS[0])
    found = _object_around(said, at) if at >= 0 else None
    if found is None:
        return None
    begin, end, value = found
    key = "arguments" if isinstance(value.get("arguments"), dict) else "parameters"
    if value.get("name") != NAME or not isinstance(value.get(key), dict):
        return None
    opening, closing = said[:begin].strip(), said[end:].strip()
    listed = opening.endswith("[") and closing.startswith("]")
    return JsonForm(
        opening.removesuffix("[").strip() if listed else opening,
        closing.removeprefix("]").strip() if listed else closing,
        key,
        listed,
    )


def _object_around(text: str, at: int) -> tuple[int, int, dict[str, Any]] | None:
    """The smallest JSON object around a position that has a name: (begin, end, value)."""
    begin = at
    while (begin := text.rfind("{", 0, begin)) >= 0:
        try:
            value, end = _DECODER.raw_decode(text, begin)
        except ValueError:
            continue
        if end > at and isinstance(value, dict) and "name" in value:
            return begin, end, value
    return None
