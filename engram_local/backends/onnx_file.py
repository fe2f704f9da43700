"""The constants and the nodes of a small ONNX file, read without the onnx package, which is large, slow to import, and
needed by exporting alone. Protocol buffers' wire format; field numbers: onnx/onnx.proto."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# By TensorProto.DataType.
DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("u1"), 7: np.dtype("<i8"), 10: np.dtype("<f2")}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


@dataclass(frozen=True)
class OnnxFile:
    """What a graph holds: {name: array} and [(operator, {attribute: float or int})], in the graph's order."""

    constants: dict[str, np.ndarray]
    nodes: list[tuple[str, dict[str, float | int]]]

    def attribute(self, operator: str, name: str) -> float | int | None:
        """Of the first node of that operator; None where there is none."""
        return next((attributes.get(name) for found, attributes in self.nodes if found == operator), None)


def read_onnx(path: Path) -> OnnxFile:
    """Raises OSError; ValueError where it is no such file, or a constant lies elsewhere or has another dtype."""
    content = memoryview(path.read_bytes())
    constants: dict[str, np.ndarray] = {}
    nodes = []
    try:
        for graph in _values(content, 7):
            for node in _values(graph, 1):
                attributes = dict(_attribute(x) for x in _values(node, 5))
                nodes.append((_text(node, 4), attributes))
            constants.update(_tensor(x) for x in _values(graph, 5))
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return OnnxFile(constants, nodes)


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(field number, number, bytes) of a message: one of the last two is what the field holds, the other is empty."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(message, at)
            yield field, value, message[:0]
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire, 0)
        if wire == BYTES:
            size, at = _varint(message, at)
        if not size and wire != BYTES:
            raise IndexError(f"it has no wire type {wire}")
        if at + size > len(message):
            raise IndexError("it ends in the middle of a field")
        yield field, 0, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An unsigned number of seven bits a byte, and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise IndexError("a number has no end")


def _values(message: memoryview, field: int) -> Iterator[memoryview]:
    return (content for found, _, content in _fields(message) if found == field)


def _text(message: memoryview, field: int) -> str:
    return bytes(next(_values(message, field), b"")).decode()


def _attribute(message: memoryview) -> tuple[str, float | int]:
    """AttributeProto; one that is neither a float nor an int counts as 0."""
    value: float | int = 0
    for field, number, content in _fields(message):
        if field == 2:
            value = float(np.frombuffer(bytes(content), "<f4")[0])
        elif field == 3:
            value = number
    return _text(message, 1), value


def _tensor(message: memoryview) -> tuple[str, np.ndarray]:
    """TensorProto."""
    shape: list[int] = []
    dtype = DTYPES[next((number for field, number, _ in _fields(message) if field == 2), 0)]
    for field, number, content in _fields(message):
        if field == 1 and not content:
            shape.append(number)
        elif field == 1:
            at = 0
            while at < len(content):
                size, at = _varint(content, at)
                shape.append(size)
    values = bytes(next(_values(message, 9), b""))
    return _text(message, 8), np.frombuffer(values, dtype).reshape(shape)
