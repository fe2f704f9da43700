"""Writes what the C harness checks the kernels against: python tests/c/cases.py build/c/cases.bin

The expected values are the NumPy twins' (and the gguf package's), as in tests/test_hashing.py and tests/tables/.
Numbers are 64-bit little-endian words; an array is its length, then its words; bytes are their length, then words.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from ggml_blocks import KINDS, random_blocks
from tables.test_encodings import TAIL_DIMS, sample_rows
from test_hashing import DEAD, VECTORS, make_config, vector_config

from engram_local import _native
from engram_local.hashing import row_ids_numpy
from engram_local.tables import encodings

END, HASH, DECODE = 0, 1, 2
RNG = np.random.default_rng(0)


def array(values) -> bytes:
    values = np.asarray(values)
    words = values.astype("<u8") if values.dtype == np.uint64 else values.astype("<i8")
    return len(words).to_bytes(8, "little") + words.tobytes()


def padded(data: np.ndarray) -> bytes:
    data = data.tobytes()
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


def hash_case(config, layer_id: int, stream, n_history: int) -> bytes:
    """Hashing `stream` from n_history on; what lies before is only looked back on."""
    layer = next(x for x in config.layers if x.layer_id == layer_id)
    stream = np.asarray(stream, np.int64)
    rows = row_ids_numpy(config, layer_id, stream)[n_history:]
    parts = [array([HASH, config.mix == "add", config.fill_id, n_history, len(layer.orders)])]
    parts += [array(sorted(config.segment_ids)), array(stream), array(rows.reshape(-1))]
    for order in layer.orders:
        parts += [array([lag for lag, _ in order.terms])]
        parts += [array(np.array([m for _, m in order.terms], np.uint64)), array(order.moduli), array(order.offsets)]
    return b"".join(parts)


def hash_cases():
    for vector in VECTORS:
        config = vector_config(vector)
        for layer in config.layers:
            yield hash_case(config, layer.layer_id, vector["tokens"], 0)
    ends = [1, 2, 3, 5, 4093, 4096, 4097, 65537, 16_000_057, 2**31 - 1, 2**32 - 5, 2**32 - 1]
    for mix in (2**63 - 1, 2**63 - 2, 2**62, 2**53 + 1, 2**32, 1):
        yield hash_case(make_config({0: [([(0, mix)], ends)]}, 2), 0, [1, 0], 0)
    for mix, n_ids, wraps in itertools.product(("xor", "add"), (2, 50, 99092, 2**31 - 1), (False, True)):
        orders = []
        for n in (1, 2, 3, 4):
            bound = 2**63 - 1 if wraps and mix == "xor" else (2**63 - 1) // n_ids // n
            terms = [(lag, int(RNG.integers(1, bound))) for lag in range(n)]
            moduli = [int(x) for x in RNG.choice([*ends, int(RNG.integers(1, 2**32))], 1 + 6 * n)]
            orders.append((terms, moduli))
        orders.append((orders[-1][0], orders[0][1]))  # shares all its terms with the order before
        config = make_config({3: orders}, n_ids, int(RNG.integers(n_ids)), {0, int(RNG.integers(n_ids))}, mix)
        stream = RNG.integers(0, n_ids, 60)
        stream[RNG.integers(0, 60, 6)] = DEAD
        for n_history in (0, 17):
            yield hash_case(config, 3, stream, n_history)


def decode_case(encoding: str, data: np.ndarray, values: np.ndarray, bad_row: int = -1) -> bytes:
    """Rows of an encoding as bytes and as float32; `bad_row` is the first that must be refused."""
    n, dim = values.shape
    head = array([DECODE, _native.ENCODINGS[encoding], dim, data.shape[1], n, bad_row])
    return head + padded(data) + padded(values.astype("<f4"))


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype("<u2")


def decode_cases():
    for encoding, dim in itertools.product(("int8", "int4", "fp8_e4m3", "float16", "float32"), TAIL_DIMS):
        data = encodings.encode(encoding, sample_rows(9, dim))
        yield decode_case(encoding, data, encodings.decode(encoding, data, dim))
    codes = np.arange(256, dtype=np.uint8)
    halves = np.arange(2**16, dtype="<u2").view(np.uint8).reshape(256, 512)
    scales = np.array([[0x55, 0x2C], [0x01, 0x80], [0x00, 0x00]], np.uint8)
    every = (
        ("int8", np.concatenate((np.tile(codes, (3, 1)), scales), axis=1), 256),
        ("int4", np.concatenate((np.tile(codes, (3, 1)), np.tile(scales, 16)), axis=1), 512),
        ("fp8_e4m3", np.concatenate((np.tile(codes, (255, 1)), np.repeat(codes[:255, None], 8, axis=1)), axis=1), 256),
        ("float16", halves, 256),
    )
    for encoding, data, dim in every:
        yield decode_case(encoding, data, encodings.decode(encoding, data, dim))
    for encoding, bad in (("int8", b"\x00\x7e"), ("int4", b"\x00\xfc"), ("fp8_e4m3", b"\xff")):
        for dim in (1, 16, 33, 256):
            data = encodings.encode(encoding, sample_rows(5, dim))
            data[3, -len(bad) :] = np.frombuffer(bad, np.uint8)
            yield decode_case(encoding, data, encodings.decode(encoding, data, dim), bad_row=3)


def linked_cases():
    """Encodings of other software's files."""
    from gguf import GGMLQuantizationType, quants

    for dim in (1, 33, 160):
        halves = RNG.integers(0, 2**16, (30, dim)).astype("<u2")
        wide = (halves.astype(np.uint32) << 16).view(np.float32)
        yield decode_case("bfloat16", halves.view(np.uint8), wide)
        codes = RNG.integers(0, 256, (30, dim), np.uint8)
        values = encodings.E4M3_VALUES[codes]
        yield decode_case("fp8_e4m3_unscaled", codes, values)
        factor = RNG.uniform(0.01, 3, (30, 1)).astype(np.float32)
        for name, stored, scale in (
            ("float32", factor.astype("<f4"), factor),
            ("float16", factor.astype("<f2"), factor.astype(np.float16).astype(np.float32)),
            ("bfloat16", bfloat16(factor), (bfloat16(factor).astype(np.uint32) << 16).view(np.float32)),
        ):
            data = np.concatenate((codes, stored.view(np.uint8).reshape(30, -1)), axis=1)
            yield decode_case(f"fp8_e4m3_{name}", data, values * scale)
    for kind in KINDS:
        data = random_blocks(RNG, kind, 30, 512)
        yield decode_case(kind.lower(), data, quants.dequantize(data, GGMLQuantizationType[kind]))


def main(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with np.errstate(all="ignore"), open(path, "wb") as file:
        for case in itertools.chain(hash_cases(), decode_cases(), linked_cases()):
            file.write(case)
        file.write(array([END]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
