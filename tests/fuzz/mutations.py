"""Seeded mutations of a good input: bytes changed, cut, repeated, and JSON values replaced by troublesome ones."""

import json
import random
import re
from collections.abc import Iterator

_NUMBERS = (0, 1, -1, 7, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30)
_VALUES = (*_NUMBERS, 0.5, 1e308, True, None, "", "x", "../x", "/x", "\0", "\ud800", [], {}, [[]], [0] * 50, {"a": {}})


def mutations(good: bytes, n: int, seed: int = 0) -> Iterator[bytes]:
    """n inputs; the same for the same seed."""
    rng = random.Random(seed)
    for i in range(n):
        data = good
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = _change_json(data, rng) if i % 2 else _change_bytes(data, rng)
        yield data


def _change_bytes(data: bytes, rng: random.Random) -> bytes:
    # Most of what can be wrong is in the first few hundred bytes.
    at = rng.randrange(min(len(data), rng.choice((16, 400, len(data) + 1))) + 1)
    new = bytes(rng.randrange(256) for _ in range(rng.choice((1, 1, 4, 8))))
    kind = rng.randrange(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + new + data[at:]
    if kind == 2:
        return data[:at] + data[at + len(new) :]
    if kind == 3:
        number = rng.choice(_NUMBERS) % 2**64
        return data[:at] + number.to_bytes(8, "little") + data[at + 8 :]
    if kind == 4 and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    return data[:at] + new + data[at + len(new) :]


def _change_json(data: bytes, rng: random.Random) -> bytes:
    """Replace one value of the JSON inside, its length before it put right."""
    match = re.search(rb"\{.*\}", data, re.DOTALL)
    try:
        tree = json.loads(match[0])
    except (TypeError, ValueError, RecursionError):
        return _change_bytes(data, rng)
    places = list(_places(tree))
    if not places:
        return _change_bytes(data, rng)
    parent, key = rng.choice(places)
    if rng.randrange(6) == 0:
        del parent[key]
    else:
        parent[key] = rng.choice(_VALUES)
    text = json.dumps(tree, separators=(",", ":")).encode()
    before, after = data[: match.start()], data[match.end() :]
    if len(before) == 8:  # safetensors: the header keeps its length where it can, so that the rows stay in place
        text = text.ljust(len(match[0]))
        before = (len(text) + len(re.match(rb" *", after)[0])).to_bytes(8, "little")
    return before + text + after


def _places(tree) -> Iterator[tuple]:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(value)
