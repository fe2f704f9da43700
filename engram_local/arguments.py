"""Checks at the package's public doors: numbers are numbers, arrays have their shape. NumPy's scalars are welcome."""

import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from engram_local.errors import EngramError, UsageError

INT64 = np.iinfo(np.int64)


def integer(value: Any, name: str, low: int | None = None, high: int | None = None) -> int:
    """`value` as an int in [low, high]. Raises UsageError, naming it, for floats, booleans and what lies outside."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {_shown(value)}; give a whole number") from None
    if (low is not None and number < low) or (high is not None and number > high):
        bounds = f"from {low}" if high is None else f"up to {high}" if low is None else f"from {low} to {high}"
        raise UsageError(f"{name} is {str(number)[:60]}; give a number {bounds}")
    return number


def number(value: Any, name: str, wanted: str, low: float, high: float) -> float:
    """`value` as a float in [low, high]; `wanted` says which that are. NumPy's scalars are welcome."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise UsageError(f"{name} is {_shown(value)}; give {wanted}")
    return float(value)


def texts(value: Any, name: str) -> tuple[str, ...]:
    """Texts that are not empty; one string is one text."""
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, Sequence) or any(not isinstance(x, str) for x in values):
        raise UsageError(f"{name} is {_shown(value)}; give a text or a list of texts")
    if any(not x for x in values):
        raise UsageError(f"a {name} string is empty; give some text")
    return tuple(values)


def check_text_alone(messages: Sequence[Any]) -> None:
    """Raises UsageError where a message holds a part that is no text: an image, sound."""
    for i, message in enumerate(messages):
        parts = message.get("content") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in (None, "text"):
                raise UsageError(f"message {i} holds a part of type {str(kind)[:40]!r}; models read text alone here")


def integers(values: Any, name: str, n_dims: int | None = None, error: type[EngramError] = UsageError) -> np.ndarray:
    """`values` as a C-contiguous int64 array of `n_dims` dimensions (None: any); the same one where it is that already.

    Raises UsageError for floats, booleans, text and other shapes; `error` for numbers that int64 does not hold.
    """
    try:
        array = np.asarray(values, order="C")
    except (ValueError, TypeError) as problem:  # lists of different lengths, strange objects
        raise UsageError(f"{name} are no array of whole numbers ({str(problem)[:80]})") from problem
    if array.dtype != np.int64:
        array = _to_int64(values, array, name, error)
    if n_dims is not None and array.ndim != n_dims:
        raise UsageError(f"{name} have shape {list(array.shape)}; give {n_dims} dimension{'s'[: n_dims != 1]}")
    return array


def _to_int64(values: Any, array: np.ndarray, name: str, error: type[EngramError]) -> np.ndarray:
    if array.dtype.kind not in "iu":
        # NumPy calls an empty list float64, and a list with numbers beyond 64 bits something else again.
        objects = np.asarray([] if isinstance(values, np.ndarray) else values, object)
        whole = all(isinstance(x, int | np.integer) and not isinstance(x, bool) for x in objects.flat)
        if isinstance(values, np.ndarray) or not whole:
            raise UsageError(f"{name} are {array.dtype}, not whole numbers")
        array = objects
    for value in (array.min(), array.max()) if array.size else ():
        if not INT64.min <= value <= INT64.max:
            raise error(f"{name} hold {str(value)[:40]}, which is beyond 64 bits")
    return array.astype(np.int64)


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, (Real, str)) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
