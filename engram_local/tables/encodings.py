"""Encodings of a table's rows: float32 rows <-> bytes, in NumPy. docs/format.md describes each byte.

`decode` is the slow twin of the kernels in ext/decode_*.c and agrees with them bit for bit.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from engram_local.config import ENCODINGS, LINKED_ENCODINGS
from engram_local.errors import TableError

GROUP = 32  # values that share one scale in int4 and fp8_e4m3
_CHUNK = 1 << 16  # values encoded at a time, so that the temporaries stay in the CPU's cache
_E4M3_MAX = 448.0


def row_bytes(encoding: str, dim: int) -> int:
    """Bytes of one row of `dim` values, scales included. Raises TableError for an encoding that is not our own."""
    return _codec(encoding).row_bytes(dim)


def encode(encoding: str, rows: np.ndarray) -> np.ndarray:
    """Rows float32 [n, dim] -> uint8 [n, row_bytes]. TableError for values it cannot store."""
    codec, rows = _codec(encoding), np.ascontiguousarray(rows, np.float32)
    n, dim = rows.shape
    out = np.empty((n, row_bytes(encoding, dim)), np.uint8)
    step = max(1, _CHUNK // max(dim, 1))
    for start in range(0, n, step):
        chunk = rows[start : start + step]
        bad = ~np.isfinite(chunk).all(axis=1)
        if not bad.any():
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                bad = codec.encode(chunk, out[start : start + step])
        if bad.any():
            row = int(np.argmax(bad))
            value = _extreme(chunk[row])
            raise TableError(
                f"row {start + row} holds {value}, which {encoding} cannot store; check the source weights"
            )
    return out


def decode(encoding: str, data: np.ndarray, dim: int) -> np.ndarray:
    """Rows uint8 [n, row_bytes] -> float32 [n, dim]. Scales that are NaN give NaN rows; Table.gather refuses them."""
    data = np.ascontiguousarray(data, np.uint8)
    if data.ndim != 2 or data.shape[1] != row_bytes(encoding, dim):
        raise TableError(
            f"{encoding} rows of {dim} values take {row_bytes(encoding, dim)} bytes, got {list(data.shape)}"
        )
    return _CODECS[encoding].decode(data, dim)


def _extreme(row: np.ndarray) -> str:
    if np.isnan(row).any():
        return "NaN"
    return f"{row[np.argmax(np.abs(row))]:g}"


def _grouped(values: np.ndarray) -> np.ndarray:
    """[n, dim] -> [n, groups, 32], the last group filled up with zeros."""
    n, dim = values.shape
    pad = -dim % GROUP
    if pad:
        values = np.concatenate((values, np.zeros((n, pad), values.dtype)), axis=1)
    return values.reshape(n, -1, GROUP)


def _spread(scales: np.ndarray, dim: int) -> np.ndarray:
    """One scale a group [n, groups] -> one a value [n, dim]."""
    return np.repeat(scales, GROUP, axis=1)[:, :dim]


def _encode_int8(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    peak = np.abs(rows).max(axis=1, keepdims=True)
    scale = (peak / np.float32(127)).astype(np.float16)
    # Rounded down by more than half a code (only subnormal scales are that coarse), the peak would be cut off.
    scale = np.where(
        scale.astype(np.float32) * np.float32(127.5) < peak, np.nextafter(scale, np.float16(np.inf)), scale
    )
    wide = scale.astype(np.float32)
    codes = np.rint(rows * np.where(wide > 0, 1 / wide, 0))
    out[:, :-2] = np.clip(codes, -127, 127).astype(np.int8).view(np.uint8)
    out[:, -2:] = scale.astype("<f2").view(np.uint8)
    return np.isinf(scale[:, 0])


def _decode_int8(data: np.ndarray, dim: int) -> np.ndarray:
    scale = data[:, dim:].copy().view("<f2").astype(np.float32)
    return data[:, :dim].view(np.int8).astype(np.float32) * scale


def _encode_int4(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    n, dim = rows.shape
    groups = _grouped(rows)
    # The value of largest magnitude takes code -8, the one end that has no mirror image.
    peak = np.take_along_axis(groups, np.abs(groups).argmax(axis=2)[..., None], axis=2)
    scale = (peak / np.float32(-8)).astype(np.float16)
    wide = scale.astype(np.float32)
    codes = np.clip(np.rint(groups * np.where(wide != 0, 1 / wide, 0)), -8, 7).astype(np.int8).view(
        np.uint8
    ) + np.uint8(8)
    codes = codes.reshape(n, -1)[:, : dim + dim % 2]
    if dim % 2:
        codes[:, -1] = 0
    out[:, : (dim + 1) // 2] = codes[:, 0::2] | codes[:, 1::2] << np.uint8(4)
    out[:, (dim + 1) // 2 :] = scale[..., 0].astype("<f2").view(np.uint8)
    return np.asarray(np.isinf(scale).any(axis=(1, 2)))


def _decode_int4(data: np.ndarray, dim: int) -> np.ndarray:
    packed = data[:, : (dim + 1) // 2]
    codes = np.stack((packed & 15, packed >> 4), axis=2).reshape(len(data), -1)[:, :dim]
    scale = data[:, (dim + 1) // 2 :].copy().view("<f2").astype(np.float32)
    return (codes.astype(np.int8) - np.int8(8)).astype(np.float32) * _spread(scale, dim)


def _encode_e4m3(values: np.ndarray) -> np.ndarray:
    """float32 within +-448 -> e4m3 codes, rounded to nearest even."""
    bits = values.view(np.uint32)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    normal = (
        (magnitude + np.uint32(0x7FFFF) + ((magnitude >> np.uint32(20)) & np.uint32(1))) >> np.uint32(20)
    ) - np.uint32(120 << 3)
    small = np.rint(np.abs(values) * np.float32(512)).astype(np.uint32)  # below 2**-6 the codes are 2**-9 apart
    codes = np.where(magnitude < np.uint32(121 << 23), small, normal)
    return (codes | (bits >> np.uint32(24)) & np.uint32(0x80)).astype(np.uint8)


def _encode_fp8_e4m3(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    n, dim = rows.shape
    groups = _grouped(rows)
    # The smallest power of two that brings the group's peak to 448 or below.
    mantissa, exponent = np.frexp(np.abs(groups).max(axis=2) / np.float32(_E4M3_MAX))
    exponent = np.clip(np.where(mantissa == 0.5, exponent - 1, exponent), -127, 127)
    exponent[mantissa == 0] = 0
    codes = _encode_e4m3(np.ldexp(groups, -exponent[..., None]))
    out[:, :dim] = codes.reshape(n, -1)[:, :dim]
    out[:, dim:] = (exponent + 127).astype(np.uint8)
    return np.zeros(n, bool)


def _decode_fp8_e4m3(data: np.ndarray, dim: int) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.ldexp(np.float32(1), data[:, dim:].astype(np.int32) - 127)  # 255 becomes infinity
        return E4M3_VALUES[data[:, :dim]] * _spread(scale, dim)


def _e4m3_values() -> np.ndarray:
    code = np.arange(256)
    exponent, mantissa = code >> 3 & 15, code & 7
    value = np.where(exponent > 0, np.ldexp(8.0 + mantissa, exponent - 10), np.ldexp(mantissa.astype(float), -9))
    value[code & 0x7F == 0x7F] = np.nan
    return np.where(code & 0x80, -value, value).astype(np.float32)


E4M3_VALUES = _e4m3_values()  # float32 [256]: the value of each e4m3 code


def _encode_float16(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    halves = rows.astype("<f2")
    out[:] = halves.view(np.uint8)
    return np.isinf(halves).any(axis=1)


def _encode_float32(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    out[:] = rows.astype("<f4", copy=False).view(np.uint8)
    return np.zeros(len(rows), bool)


class _Codec(NamedTuple):
    row_bytes: Callable[[int], int]  # of a row of so many values
    encode: Callable[[np.ndarray, np.ndarray], np.ndarray]  # float32 [n, dim], out uint8 -> which rows cannot be stored
    decode: Callable[[np.ndarray, int], np.ndarray]  # uint8 [n, row_bytes], dim -> float32 [n, dim]


def _n_groups(dim: int) -> int:
    return -(-dim // GROUP)


_CODECS = {
    "int8": _Codec(lambda dim: dim + 2, _encode_int8, _decode_int8),
    "int4": _Codec(lambda dim: (dim + 1) // 2 + 2 * _n_groups(dim), _encode_int4, _decode_int4),
    "fp8_e4m3": _Codec(lambda dim: dim + _n_groups(dim), _encode_fp8_e4m3, _decode_fp8_e4m3),
    "float16": _Codec(lambda dim: 2 * dim, _encode_float16, lambda data, dim: data.view("<f2").astype(np.float32)),
    "float32": _Codec(lambda dim: 4 * dim, _encode_float32, lambda data, dim: data.view("<f4").astype(np.float32)),
}


def _codec(encoding: str) -> _Codec:
    if encoding not in ENCODINGS:
        raise TableError(f"unknown row encoding {str(encoding)[:40]!r}; known are {', '.join(ENCODINGS)}")
    return _CODECS[encoding]


def check_kernels(names: Iterable[str]) -> None:
    """Raises ImportError where the kernels of ext/, which know encodings by name as everybody does, are not those that
    config.py lists."""
    wrong = {*ENCODINGS, *LINKED_ENCODINGS} ^ set(names)
    if wrong:
        raise ImportError(
            f"the extension and the package differ about encodings ({', '.join(sorted(wrong))}): build again"
        )
