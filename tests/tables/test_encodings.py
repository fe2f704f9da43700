"""Row encodings: exact bytes, error bounds, kernels against the NumPy twin on every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engram_local import _native
from engram_local.config import ENCODINGS
from engram_local.errors import TableError
from engram_local.tables import encodings

TAIL_DIMS = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 97, 160, 256, 1536)
FEATURE_SETS = [()] + [(name,) for name in _native.cpu_features()]


def sample_rows(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Rows of very different sizes, a zero row among them."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, dim)) * 10.0 ** rng.uniform(-4, 3, (n, 1))
    rows[0] = 0
    return rows.astype(np.float32)


def native_decode(encoding: str, data: np.ndarray, dim: int) -> np.ndarray:
    out = np.full((len(data), dim), np.float32(-77))
    extent = (0, len(data), 0, 0, data.reshape(-1))
    table = _native.TableData([("memory", -1, 0, False)], encoding, len(data), dim, [(data.shape[1], [extent])])
    table.gather(np.arange(len(data)), out.reshape(-1))
    return out


@pytest.mark.parametrize("names", FEATURE_SETS, ids=lambda names: "+".join(names) or "plain")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_kernels_equal_the_twin(encoding, names):
    _native.set_cpu_features(names)
    for dim in TAIL_DIMS:
        data = encodings.encode(encoding, sample_rows(9, dim))
        twin = encodings.decode(encoding, data, dim)
        assert np.array_equal(native_decode(encoding, data, dim).view(np.uint32), twin.view(np.uint32)), dim
    _native.set_cpu_features(_native.cpu_features())


@pytest.mark.parametrize("names", FEATURE_SETS, ids=lambda names: "+".join(names) or "plain")
def test_kernels_decode_every_code(names):
    _native.set_cpu_features(names)
    codes = np.arange(256, dtype=np.uint8)
    e4m3 = np.concatenate((np.tile(codes, (255, 1)), np.repeat(codes[:255, None], 8, axis=1)), axis=1)
    halves = np.arange(2**16, dtype=np.uint16)
    for encoding, data, dim in (
        ("int8", np.concatenate((codes, np.array([0x55, 0x2C], np.uint8)))[None], 256),
        (
            "int8",
            np.concatenate((codes, np.array([0x01, 0x80], np.uint8)))[None],
            256,
        ),  # the smallest subnormal, negative
        ("int4", np.concatenate((codes, np.tile(np.array([0x55, 0x2C], np.uint8), 16)))[None], 512),
        ("fp8_e4m3", e4m3, 256),  # every code under every scale, NaN codes too
        ("float16", halves.view(np.uint8).reshape(256, 512), 256),
    ):
        got, twin = native_decode(encoding, data, dim), encodings.decode(encoding, data, dim)
        assert np.array_equal(got, twin, equal_nan=True)
        assert np.array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(twin[~np.isnan(twin)]))
    _native.set_cpu_features(_native.cpu_features())


@pytest.mark.parametrize("names", FEATURE_SETS, ids=lambda names: "+".join(names) or "plain")
@pytest.mark.parametrize(
    ("encoding", "bad_scale"), [("int8", b"\x00\x7e"), ("int4", b"\x00\xfc"), ("fp8_e4m3", b"\xff")]
)
def test_scales_that_are_not_finite_are_refused(encoding, bad_scale, names):
    _native.set_cpu_features(names)
    for dim in (1, 16, 33, 256):
        data = encodings.encode(encoding, sample_rows(5, dim))
        data[3, -len(bad_scale) :] = np.frombuffer(bad_scale, np.uint8)
        with pytest.raises(TableError, match="row 3 has a scale that is NaN or infinite"):
            native_decode(encoding, data, dim)
    _native.set_cpu_features(_native.cpu_features())


def test_bytes_of_small_rows():
    """The examples of docs/format.md, written out by hand."""
    assert encodings.encode("int8", np.float32([[127, -63.5, 0]])).tobytes() == bytes([127, 192, 0, 0x00, 0x3C])
    assert encodings.encode("int4", np.float32([[-8, 7, 1]])).tobytes() == bytes([0xF0, 0x09, 0x00, 0x3C])
    assert encodings.encode("int4", np.float32([[16, -14, 2]])).tobytes() == bytes([0xF0, 0x07, 0x00, 0xC0])
    assert encodings.encode("fp8_e4m3", np.float32([[448, -1, 0]])).tobytes() == bytes([0x7E, 0xB8, 0x00, 127])
    assert encodings.encode("fp8_e4m3", np.float32([[896, 3.5, 0]])).tobytes() == bytes([0x7E, 0x3E, 0x00, 128])
    assert encodings.encode("float16", np.float32([[1, -2]])).tobytes() == bytes([0x00, 0x3C, 0x00, 0xC0])
    assert encodings.encode("float32", np.float32([[1]])).tobytes() == bytes([0x00, 0x00, 0x80, 0x3F])


@pytest.mark.parametrize(
    ("encoding", "dim", "size"),
    [
        ("int8", 256, 258),
        ("int4", 256, 144),
        ("int4", 33, 21),
        ("fp8_e4m3", 256, 264),
        ("float16", 3, 6),
        ("float32", 3, 12),
    ],
)
def test_row_bytes(encoding, dim, size):
    assert encodings.row_bytes(encoding, dim) == size
    assert encodings.encode(encoding, np.zeros((2, dim), np.float32)).shape == (2, size)


finite_rows = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 70)), elements=st.floats(-60000, 60000, width=32)
)


@settings(deadline=None)
@given(rows=finite_rows)
def test_error_bounds(rows):
    n, dim = rows.shape
    peak = np.abs(rows).max(axis=1, keepdims=True)
    groups = np.abs(np.pad(rows, ((0, 0), (0, -dim % 32)))).reshape(n, -1, 32).max(axis=2)
    group_peak = np.repeat(groups, 32, axis=1)[:, :dim]
    half_step = 2.0**-24  # the coarsest that a float16 scale's own rounding can add to a code is a subnormal step
    bounds = {
        "int8": peak / 127 * 0.501 + 128 * half_step,
        # One end of int4 has no mirror image: a value as large as the peak, of the other sign, loses a whole step.
        "int4": group_peak / 8 * 1.005 + 16 * half_step,
        "fp8_e4m3": np.maximum(np.abs(rows) / 16, group_peak / 448 * 2**-9) + 2.0**-126,
        "float16": np.abs(rows) * 2.0**-11 + 2.0**-25,
        "float32": np.zeros_like(rows),
    }
    for encoding, bound in bounds.items():
        back = encodings.decode(encoding, encodings.encode(encoding, rows), dim)
        assert (np.abs(back.astype(np.float64) - rows) <= bound).all(), encoding


@settings(deadline=None)
@given(rows=finite_rows)
def test_encoding_again_changes_nothing(rows):
    for encoding in ENCODINGS:
        once = encodings.decode(encoding, encodings.encode(encoding, rows), rows.shape[1])
        twice = encodings.decode(encoding, encodings.encode(encoding, once), rows.shape[1])
        if encoding in ("fp8_e4m3", "float16", "float32"):
            assert np.array_equal(once, twice), encoding


def test_e4m3_rounds_to_nearest_even():
    values = np.sort(encodings.E4M3_VALUES[:127].astype(np.float64))  # 0 to 448
    rng = np.random.default_rng(0)
    x = np.concatenate((rng.uniform(0, 448, 500), 2.0 ** rng.uniform(-12, 8, 500), (values[1:] + values[:-1]) / 2))
    x = np.concatenate(([448.0], x)).astype(np.float32)  # the peak pins each group's scale to 1
    groups = np.concatenate((np.full((len(x), 1), 448, np.float32), x[:, None]), axis=1)
    got = encodings.decode("fp8_e4m3", encodings.encode("fp8_e4m3", groups), 2)[:, 1]
    distance = np.abs(values[None] - x[:, None].astype(np.float64))
    nearest = distance.min(axis=1)
    assert np.array_equal(np.abs(got - x.astype(np.float64)), nearest)
    tied = (distance == nearest[:, None]).sum(axis=1) == 2
    codes = np.searchsorted(values, got)
    assert tied.sum() > 50 and (codes[tied] % 2 == 0).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(encoding, value):
    rows = sample_rows(4000, 64)
    rows[3777, 5] = value
    with pytest.raises(TableError, match=f"row 3777 holds .*{encoding} cannot store"):
        encodings.encode(encoding, rows)


def test_values_beyond_the_encoding_are_refused():
    for encoding, limit in (("int8", 127 * 65504), ("int4", 8 * 65504), ("float16", 65504)):
        rows = np.array([[1, 2], [limit * 1.01, 0]], np.float32)
        with pytest.raises(TableError, match="row 1 holds"):
            encodings.encode(encoding, rows)
        encodings.encode(encoding, rows * np.float32(0.98))
    encodings.encode("fp8_e4m3", np.float32([[3e38, 0]]))


def test_wrong_shapes_and_names():
    with pytest.raises(TableError, match="unknown row encoding 'int5'"):
        encodings.row_bytes("int5", 8)
    with pytest.raises(TableError, match="int8 rows of 8 values take 10 bytes"):
        encodings.decode("int8", np.zeros((2, 9), np.uint8), 8)
