"""Checks at the public doors: what a caller gave becomes the plain Python value, or one UsageError that names it."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from engram_local.errors import UsageError


def integer(name: str, value: Any, low: int, high: int = 2**63 - 1) -> int:
    """`value` as an int in [low, high]; NumPy's integers are welcome, bool and 2.0 are not."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        wanted = f"an integer from {low}" + (f" to {high}" if high < 2**31 else "")
        raise UsageError(f"{name} is {_shown(value)}; give {wanted}")
    return int(value)


def number(name: str, value: Any, wanted: str, low: float, high: float) -> float:
    """`value` as a float in [low, high]; `wanted` says which that are. NumPy's scalars are welcome."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise UsageError(f"{name} is {_shown(value)}; give {wanted}")
    return float(value)


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Texts that are not empty; one string is one text."""
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, Sequence) or any(not isinstance(x, str) for x in values):
        raise UsageError(f"{name} is {_shown(value)}; give a text or a list of texts")
    if any(not x for x in values):
        raise UsageError(f"a {name} string is empty; give some text")
    return tuple(values)


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, (Real, str)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
