"""The classes of the command and its verbs, which take values that are plainly right without asking typer.

typer has a pydantic adapter made for each option, one that was not given included, and with that library's import this
is a fifth of the time to a first token. Whatever is not plain goes typer's own way, and so every complaint is typer's.
"""

import inspect
import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

_NUMBERS = {int: re.compile("[0-9]{1,15}"), float: re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")}  # every parser reads alike


class _PlainValues:
    """Mixin for typer's classes. Parameters of the callback are Annotated[type, typer.Option or Argument]."""

    callback: Any
    get_params: Any

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's, whose options convert plain values themselves from now on."""
        declared = inspect.signature(self.callback).parameters
        for option in self.get_params(ctx):
            if "process_value" not in vars(option) and hasattr(option, "process_value"):
                option.process_value = _converter(option, declared.get(option.name))
        return super().parse_args(ctx, args)  # type: ignore[misc]


class Verb(_PlainValues, TyperCommand):
    """A verb's command."""


class Program(_PlainValues, TyperGroup):
    """The command that has the verbs."""


def _converter(option: Any, declared: inspect.Parameter | None) -> Callable[[Any, Any], Any]:
    """What stands in for `option.process_value`; `declared` is None for an option that typer itself adds."""
    typers_own = option.process_value
    default = declared.default if declared else None

    def process_value(ctx: Any, value: Any) -> Any:
        if value is default and not option.required:
            value = () if value is None and (option.multiple or option.nargs == -1) else value
        elif declared:
            try:
                value = plain(declared.annotation, value)
            except ValueError:
                return typers_own(ctx, value)
        else:
            return typers_own(ctx, value)
        return option.callback(ctx, option, value) if option.callback else value

    return process_value


def plain(annotation: Any, value: Any) -> Any:
    """What `value`, as it was typed, is for an option. Raises ValueError where that is for typer to say.
    Example: plain(Annotated[int | None, typer.Option(min=1)], "3") -> 3."""
    kind, info = get_args(annotation)
    if get_origin(kind) is UnionType:
        kind = next(x for x in get_args(kind) if x is not NoneType)
    if get_origin(kind) is list:
        if not isinstance(value, (list, tuple)):  # a text of the configuration file
            raise ValueError(value)
        return [_plain(get_args(kind)[0], info, x) for x in value]
    return _plain(kind, info, value)


def _plain(kind: Any, info: Any, value: Any) -> Any:
    if isinstance(value, str):
        if info.parser:
            return info.parser(value)
        if kind is str:
            return value
        if get_origin(kind) is Literal and value in get_args(kind):
            return value
        if kind in _NUMBERS and _NUMBERS[kind].fullmatch(value):
            number = kind(value)
            if (info.min is None or info.min <= number) and (info.max is None or number <= info.max):
                return number
    raise ValueError(value)
