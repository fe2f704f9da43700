"""Calls of tools, written and read as the model's own chat template writes them.

How a template writes a call is found out by having it write one. Read are the forms that hold a JSON object with a
name and arguments (or parameters), whatever stands around it: Hermes, Qwen, Llama 3, Mistral, Granite.
"""

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from engram_local.chat_template import ChatTemplate
from engram_local.errors import ModelFolderError

_TOOL, _KEY, _VALUE = "engram_probe_tool", "engram_probe_key", "engram_probe_value"
_PROBE_TOOL = {
    "type": "function",
    "function": {"name": _TOOL, "description": "x", "parameters": {"type": "object", "properties": {}}},
}
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class CallForm:
    """A call is `opening`, a JSON object {name: ..., arguments: ...}, `closing`; several follow each other, each so, or
    in one JSON list."""

    opening: str
    closing: str
    arguments: str  # the key: "arguments" or "parameters"
    listed: bool  # the object stands in a list

    def read(self, text: str) -> list[dict[str, Any]] | None:
        """The calls of an answer, from its first opening on: OpenAI's tool_calls; None where they are none."""
        calls: list[dict[str, Any]] = []
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
                text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
                function = {"name": name, "arguments": text}
                calls.append({"id": f"call_{secrets.token_hex(8)}", "type": "function", "function": function})
        return calls or None


def knows_tools(template: ChatTemplate | None) -> bool:
    """Whether tools that a request brings reach the model."""
    if template is None:
        return False
    try:
        text = template.render([{"role": "user", "content": "x"}], tools=[_PROBE_TOOL])
    except ModelFolderError:
        return False
    return _TOOL in text


def call_form(template: ChatTemplate, controls: list[str]) -> CallForm | None:
    """How the template writes a call, None where that is not a JSON object. `controls`: texts of control tokens, which
    an answer's text does not hold."""
    question = {"role": "user", "content": "x"}
    call = {"id": "call00000", "type": "function", "function": {"name": _TOOL, "arguments": {_KEY: _VALUE}}}
    try:
        before = template.render([question], tools=[_PROBE_TOOL])
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        whole = template.render([question, message], add_generation_prompt=False, tools=[_PROBE_TOOL])
    except ModelFolderError:
        return None
    at = whole.rfind(_KEY)
    found = _object_around(whole, at) if at >= 0 else None
    if found is None:
        return None
    begin, end, value = found
    key = "arguments" if isinstance(value.get("arguments"), dict) else "parameters"
    if value.get("name") != _TOOL or not isinstance(value.get(key), dict):
        return None
    common = next((i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b), len(before))
    opening = _without(whole[min(common, begin) : begin], controls)
    closing = _without(whole[end:], controls)
    listed = opening.endswith("[") and closing.startswith("]")
    return CallForm(
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


def _without(text: str, controls: list[str]) -> str:
    longest_first = sorted(controls, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), "", text).strip() if controls else text.strip()
