"""Calls of tools written as tags, each argument in one of its own: Qwen3-Coder, Qwen3.5, Nemotron 3, GLM, MiniMax.

    <tool_call>                     begin: "<tool_call>\\n<function="
    <function=weather>              name_end: ""
    <parameter=place>               key_open: ">\\n<parameter=", value_open: ">\\n"
    Paris                           value_close: "\\n</parameter"
    </parameter>
    </function>                     close: ">\\n</function>\\n</tool_call>"
    </tool_call>                    end: ""

The texts between are what two calls of a template have in common, so they need not part where tags do. Values are as
they are, not escaped; the tool's JSON schema says what is text and what is a number, a list, ...
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME, KEYS, VALUES = "engram_probe_tool", ("engram_probe_key", "engram_probe_other"), ("engram_probe_value", "7 x")
Function = Mapping[str, Any]  # name, parameters: a JSON schema


@dataclass(frozen=True)
class TaggedForm:
    """A call is a name and, for each argument, key_open, its name, value_open, its value, value_close; then close.
    `begin` is in front of the first call, `again` of each further one, `end` behind the last."""

    begin: str
    again: str
    name_end: str
    key_open: str
    value_open: str
    value_close: str
    close: str
    end: str

    @property
    def opening(self) -> str:
        """What tells that calls begin."""
        return self.begin.split()[0]

    def read(self, text: str, functions: Sequence[Function]) -> list[tuple[str, str]] | None:
        """(name, arguments as JSON) of the calls of an answer, from its first opening on; None where there are none.
        White space between tags may be missing; a call that was cut is none."""
        schemas = {x["name"]: x.get("parameters") or {} for x in functions}
        argument = re.compile(
            rf"\s*{_loose(self.key_open)}([^<>\"\n]+?){_loose(self.value_open, right=False)}(.*?)"
            rf"{_loose(self.value_close, left=False)}",
            re.DOTALL,
        )
        head = re.compile(rf"{_loose(self.again)}([^\s<>\"]+?){_loose(self.name_end)}(?=\s|<|>)")
        close = re.compile(rf"\s*{_loose(self.close)}")
        calls, at = [], 0
        while begun := head.search(text, at):
            name, arguments, at = begun[1], {}, begun.end()
            while found := argument.match(text, at):
                arguments[found[1]] = value_of(found[2], schemas.get(name, {}), found[1])
                at = found.end()
            ended = close.match(text, at)
            if not ended:
                break
            at = ended.end()
            calls.append((name, json.dumps(arguments, ensure_ascii=False)))
        return calls or None

    def grammar(self, functions: Sequence[Function], lark: Any) -> str:
        """One call of one of the functions, rules of a Lark grammar (grammar.Lark) from `call` on: its arguments in the
        order of their schema, those that are not required at will."""
        rules = []
        for i, function in enumerate(functions):
            schema = function.get("parameters") or {}
            parts = [lark.text(function["name"] + self.name_end)]
            for k, key in enumerate(_dict(schema.get("properties"))):
                required = key in _list(schema.get("required"))
                parts.append(f"argument_{i}_{k}{'' if required else '?'}")
                begin = lark.text(self.key_open + key + self.value_open)
                rules.append(f"argument_{i}_{k}: {begin} value_{i}_{k}")
                rules += self._value_rules(f"value_{i}_{k}", schema, key, lark)
            rules.append(f"function_{i}: {' '.join(parts)}")
        choice = " | ".join(f"function_{i}" for i in range(len(functions)))
        return "\n".join([f"call: {lark.text(self.begin)} ({choice}) {lark.text(self.close + self.end)}", *rules])

    def _value_rules(self, name: str, schema: Function, key: str, lark: Any) -> Iterator[str]:
        own, close = _dict(schema["properties"][key]), lark.text(self.value_close)
        if not _is_text(schema, key):
            yield f"{name}: %json {json.dumps(own | definitions(schema))} {close}"
        elif known := _known(own):
            yield f"{name}: ({' | '.join(lark.text(str(x)) for x in known)}) {close}"
        else:
            yield lark.until(name, self.value_close)


def tagged_form(one: str, two: str) -> TaggedForm | None:
    """The form of two texts, a call of NAME with KEYS and VALUES, and two of them; None where it is another kind."""
    (key, other), (value, last) = KEYS, VALUES
    marks = (NAME, key, value, other, last)
    found = _between(one, marks), _between(two, (*marks, *marks))
    if found[0] is None or found[1] is None:
        return None
    opening, before_key, value_open, before_other, value_open_2, tail = found[0]
    between = found[1][5]
    key_open = _common_end(before_key, before_other)
    name_end, value_close = before_key.removesuffix(key_open), before_other.removesuffix(key_open)
    if value_open != value_open_2 or not tail.startswith(value_close) or not between.startswith(value_close):
        return None
    if "<" not in key_open or "<" not in value_close or "<" not in opening:
        return None
    rest, tail = between[len(value_close) :], tail[len(value_close) :]
    close = common_beginning(rest, tail)
    close = close[: close.rfind(">") + 1]  # what follows may begin alike
    again = _common_end(opening, rest)
    again = again[again.find("<") :] if "<" in again else opening
    return TaggedForm(
        opening.strip(), again, name_end, key_open, value_open, value_close, close, tail[len(close) :].rstrip()
    )


def definitions(schema: Function) -> dict[str, Any]:
    """What references in a schema point to, from its root on."""
    return {x: schema[x] for x in ("$defs", "definitions") if x in schema}


def value_of(text: str, schema: Function, key: str) -> Any:
    """An argument's value out of its text, by the schema of the function's parameters."""
    if _is_text(schema, key):
        return text
    for read in (json.loads, ast.literal_eval):  # templates write True as Python does
        try:
            value = read(text.strip())
            json.dumps(value, allow_nan=False)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return value
    return text


def _is_text(schema: Function, key: str) -> bool:
    """Whether an argument may be a text; one that no schema knows is."""
    kinds = set(_kinds(schema, _dict(schema.get("properties")).get(key), 0))
    return not kinds or "string" in kinds


def _kinds(root: Function, schema: Any, depth: int) -> Iterator[str]:
    """JSON types that a schema names."""
    schema = _dict(schema)
    if depth > 8:
        return
    kind = schema.get("type")
    yield from (x for x in (kind if isinstance(kind, list) else [kind]) if isinstance(x, str))
    yield from ("string" if isinstance(x, str) else "other" for x in _known(schema))
    for part in (x for name in ("anyOf", "oneOf", "allOf") for x in _list(schema.get(name))):
        yield from _kinds(root, part, depth + 1)
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        found: Any = root
        for name in reference[2:].split("/"):
            found = _dict(found).get(name)
        yield from _kinds(root, found, depth + 1)


def _known(schema: Function) -> list[Any]:
    """The values that a schema lists."""
    return _list(schema.get("enum")) or ([schema["const"]] if "const" in schema else [])


def _dict(value: Any) -> dict[str, Any]:
    """What should be an object; schemas come from clients."""
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _between(text: str, marks: Sequence[str]) -> list[str] | None:
    """What stands before, between and behind marks that follow one another."""
    parts = []
    for mark in marks:
        before, there, text = text.partition(mark)
        if not there:
            return None
        parts.append(before)
    return [*parts, text]


def common_beginning(a: str, b: str) -> str:
    """Of two texts."""
    return a[: next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))]


def _common_end(a: str, b: str) -> str:
    return common_beginning(a[::-1], b[::-1])[::-1]


def _loose(text: str, left: bool = True, right: bool = True) -> str:
    """A pattern for a text, its white space at will. At an end that touches a value (left or right False) a line feed
    belongs to the text where it has one, and no more than that does."""
    words = r"\s*".join(map(re.escape, text.split()))
    begin = "\n?" if not left and text[:1] == "\n" else ""
    end = "\n?" if not right and text[-1:] == "\n" else ""
    return f"{begin}{words}{end}"
