"""Text that others wrote, made fit for a terminal: names of files, a model's words, what an error says."""

from typing import Any

_CONTROLS: dict[int, str] = {i: "" for i in (*range(32), *range(127, 160)) if chr(i) not in "\n\t"}
SURROGATES = {i: "\ufffd" for i in range(0xD800, 0xE000)}  # bytes of argv or of a file's name that were no UTF-8


def clean(text: str) -> str:
    """`text` without control characters but line feed and tab; what is no Unicode becomes U+FFFD.
    Example: clean("a\\x1b[2Jb") -> "a[2Jb"."""
    return text.translate(_CONTROLS | SURROGATES)


def cleaned(value: Any) -> Any:
    """The same for every string inside lists and dicts."""
    if isinstance(value, dict):
        return {cleaned(k): cleaned(v) for k, v in value.items()}
    if isinstance(value, list):
        return [cleaned(x) for x in value]
    return clean(value) if isinstance(value, str) else value
