"""Jinja chat templates, rendered as Hugging Face renders them. They come with the model: in a sandbox, and within
bounds of time and size."""

import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engram_local.errors import ModelFolderError

Message = dict[str, Any]  # "role", "content" and what else the template reads

MAX_SOURCE = 1 << 20  # characters of a template
MAX_SIZE = 1 << 24  # characters or items of any value in a template
MAX_OUTPUT = 1 << 26  # characters that it writes, into blocks included
MAX_NUMBER = 1000  # widths, and both sides of a power
MAX_SECONDS = 10.0
_WIDE = re.compile(r"%[^a-zA-Z]*([0-9]{5}|\*)|\{[^}]*([0-9]{5}|\{)")  # formats that ask for any amount of memory
_REFUSED = {  # they make much of little, and no chat needs them
    *("center", "ljust", "rjust", "zfill", "expandtabs", "wordwrap", "xmlattr", "pprint"),
    *("translate", "to_bytes", "batch", "slice", "sum"),
}


class ChatTemplate:
    """What turns the messages of a conversation into the text that the model was trained on."""

    def __init__(self, source: str, variables: dict[str, str], name: str = "chat_template.jinja"):
        """`variables` are the special tokens that templates name (bos_token, ...). Raises ModelFolderError."""
        self.name = name
        self.source = source
        self.variables = variables
        self._takes_system: bool | None = None
        try:
            if len(source) > MAX_SOURCE:
                raise ValueError(f"{len(source)} characters are too many (limit {MAX_SOURCE})")
            environment = _environment()
            tree = environment.parse(source)
            _instrument(tree)
            self._template = environment.from_string(tree)
        except Exception as error:  # jinja2's own errors, and what Python says of nesting that is too deep
            raise self._failed(error) from error

    def render(self, messages: Sequence[Message], add_generation_prompt: bool = True, **variables: Any) -> str:
        """The text of a conversation. `messages`: {"role", "content"} objects; `variables` reach the template as they
        are (for instance enable_thinking). Where the template has no system messages, the first one's text goes in
        front of the first message of the user. Raises ModelFolderError with the template's own complaint."""
        messages = list(messages)
        if messages and messages[0].get("role") == "system" and not self.takes_system:
            messages = _without_system(messages)
        return self._render(messages, add_generation_prompt, variables)

    @property
    def knows_thoughts(self) -> bool:
        """Whether the template does something about what a model thinks, so that its answers may hold thoughts."""
        return "</think>" in self.source or "reasoning_content" in self.source

    @property
    def switches_thoughts(self) -> bool:
        """Whether its variable enable_thinking turns thinking on and off."""
        return "enable_thinking" in self.source

    @property
    def takes_system(self) -> bool:
        """Whether a system message's text reaches the model; found out by rendering one."""
        if self._takes_system is None:
            probe = [{"role": "system", "content": "engram-probe"}, {"role": "user", "content": "x"}]
            try:
                self._takes_system = "engram-probe" in self._render(probe, True, {})
            except ModelFolderError:
                self._takes_system = False
        return self._takes_system

    def _render(self, messages: list[Message], add_generation_prompt: bool, variables: dict[str, Any]) -> str:
        _environment().begin()
        try:
            given = {"tools": None, "documents": None} | self.variables | variables
            return self._template.render(given, messages=messages, add_generation_prompt=add_generation_prompt)
        except Exception as error:  # a template can fail in any way that Python can
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ModelFolderError:
        text = " ".join(str(error).split())[:200]
        return ModelFolderError(f"{self.name}: the chat template failed: {text}; use raw prompts, or another template")


def _without_system(messages: list[Message]) -> list[Message]:
    """The first message's text in front of the first one of the user, as llama.cpp does it."""
    text, rest = messages[0].get("content"), messages[1:]
    for i, message in enumerate(rest):
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            return [*rest[:i], {**message, "content": f"{text}\n{message['content']}"}, *rest[i + 1 :]]
    return [{"role": "user", "content": text}, *rest]


class _Bound(ValueError):
    """The template asked for too much."""


class _Generation(Extension):
    """`{% generation %}` marks the assistant's text for trainers; here its body is plain text."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 reads a class attribute)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with a clock that every call, filter and turn of a loop looks at, and a limit to the size of every
    value and of all output: what would be larger is refused before it is made."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        extensions = [_Generation, loopcontrols]
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=extensions, optimized=False, finalize=self.output
        )
        self._render = threading.local()  # of the thread that renders: when it must end, and what it has written
        self.filters["tojson"] = _tojson
        self.filters = {name: self._bounded(function) for name, function in self.filters.items()}
        self.filters |= {"engram_turns": self.turns, "engram_sized": self.sized}
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
        del self.globals["lipsum"]

    def begin(self) -> None:
        """A template begins to render."""
        self._render.deadline, self._render.written = time.monotonic() + MAX_SECONDS, 0

    def tick(self) -> None:
        if time.monotonic() > self._render.deadline:
            raise _Bound(f"it takes longer than {MAX_SECONDS:.0f} seconds")

    def output(self, value: Any) -> Any:
        """A value that the template writes, into a block or to its end."""
        self.count(len(value) if isinstance(value, str) else 0)
        return value

    def count(self, n: int) -> None:
        self._render.written += n
        if self._render.written > MAX_OUTPUT:
            raise _Bound(f"it writes more than {MAX_OUTPUT} characters")

    def turns(self, iterable: Iterable, n_literal: int) -> Iterator:
        """What a loop runs over; each turn may write the loop's own text."""
        for item in iterable:
            self.tick()
            self.count(n_literal)
            yield item

    def sized(self, value: Any) -> Any:
        _check_size(_length(value))
        return value

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.tick()
        owner = getattr(function, "__self__", None)
        args = _checked(getattr(function, "__name__", ""), (owner, *args), kwargs)[1:]
        return self.sized(super().call(context, function, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            _check_size(max(_length(left) * _times(right), _length(right) * _times(left)))
        elif operator == "%" and isinstance(left, str):
            _check_format(left)
        elif operator == "**" and (_times(left) > MAX_NUMBER or _times(right) > MAX_NUMBER):
            raise _Bound(f"a power that is too large: {left} ** {right}")
        return self.sized(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None:
            _check_format(value.__self__)
        return wrapped

    def _bounded(self, function: Callable) -> Callable:
        @functools.wraps(function)  # keeps jinja2's marks: what the filter wants passed
        def run(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            args = _checked(function.__name__.removeprefix("do_").lstrip("_"), args, kwargs)
            return self.sized(function(*args, **kwargs))

        return run


@functools.cache
def _environment() -> _Environment:
    """One for all templates: it holds nothing of theirs, and is large."""
    return _Environment()


def _instrument(tree: nodes.Template) -> None:
    """Every loop runs over `turns`, and what `~` makes is `sized`."""
    for loop in tree.find_all(nodes.For):
        n_literal = sum(len(x.data) for x in loop.find_all(nodes.TemplateData))
        loop.iter = _filtered(loop.iter, "engram_turns", nodes.Const(n_literal))
    for parent in list(tree.find_all(nodes.Node)):
        for field, value in parent.iter_fields():
            if isinstance(value, nodes.Concat):
                setattr(parent, field, _filtered(value, "engram_sized"))
            elif isinstance(value, list):
                value[:] = [_filtered(x, "engram_sized") if isinstance(x, nodes.Concat) else x for x in value]


def _filtered(node: Any, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _checked(name: str, args: tuple, kwargs: dict[str, Any]) -> tuple:
    """The arguments of a call or a filter, if nothing large can come of them."""
    if name in _REFUSED:
        raise _Bound(f"{name} is not for templates of chats")
    texts = [x for x in (*args, *kwargs.values()) if isinstance(x, str)]
    if name == "format" and texts:
        _check_format(texts[0])
    elif name == "replace" and len(texts) == 3:
        _check_size((texts[0].count(texts[1]) + 1) * len(texts[2]))
    elif name in ("indent", "tojson"):
        if max(map(_times, (*args, *kwargs.values())), default=0) > MAX_NUMBER:
            raise _Bound(f"{name} is too wide")
        if name == "indent" and texts:
            _check_size(texts[0].count("\n") * max(map(len, texts[1:]), default=0))
    elif name == "join":
        args = tuple(list(x) if isinstance(x, Iterator) else x for x in args)
        parts = next((x for x in args if isinstance(x, (list, tuple))), ())
        _check_size(sum(map(_length, parts)) + len(parts) * max(map(len, texts), default=0))
    return args


def _check_size(n: int) -> None:
    if n > MAX_SIZE:
        raise _Bound(f"a value of {n} characters or items is too large (limit {MAX_SIZE})")


def _check_format(text: str) -> None:
    if _WIDE.search(text):
        raise _Bound(f"a format that is too wide: {text[:40]!r}")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 0


def _times(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise ValueError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)
