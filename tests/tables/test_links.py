"""Tables inside other software's files: bit for bit what torch's dtypes and gguf's dequantizer give."""

import json
import os

import numpy as np
import pytest
from ggml_blocks import KINDS, random_blocks

from engram_local.errors import RowRangeError, TableError
from engram_local.tables import encodings
from engram_local.tables.budget import ACCESS
from engram_local.tables.encodings import E4M3_VALUES
from engram_local.tables.links import RawRows, read_places, write_link
from engram_local.tables.table import Table

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E8M0": 1, "U8": 1, "I64": 8}
RNG = np.random.default_rng(5)


def write_safetensors(path, tensors: dict) -> None:
    """{name: (dtype, array of raw bytes or numbers, shape)}, in this order, data unaligned as the format allows."""
    header, blobs, offset = {"__metadata__": {"by": "a test"}}, [], 0
    for name, (dtype, data, shape) in tensors.items():
        blob = np.ascontiguousarray(data).tobytes()
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def from_bfloat16(halves: np.ndarray) -> np.ndarray:
    return (halves.astype(np.uint32) << 16).view(np.float32)


def same(got: np.ndarray, expected: np.ndarray) -> bool:
    return np.array_equal(got, expected, equal_nan=True) and got.dtype == expected.dtype


def check(link, expected: np.ndarray) -> None:
    """Every access gives the expected rows, in any order, twice (the second time from the cache)."""
    ids = RNG.integers(0, len(expected), 300)
    for access in ACCESS:
        with Table(link, access=access) as table:
            assert (table.n_rows, table.dim) == expected.shape
            for _ in range(2):
                assert same(table.gather(ids), expected[ids]), access
                assert same(table.gather(np.arange(len(expected))), expected), access
            with pytest.raises(RowRangeError):
                table.gather([len(expected)])


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_shards_of_numbers(tmp_path, dtype):
    rows = RNG.standard_normal((700, 40)).astype(np.float32)
    stored = {"F32": lambda x: x, "F16": lambda x: x.astype(np.float16), "BF16": bfloat16}[dtype](rows)
    expected = {"F32": lambda x: x, "F16": lambda x: x.astype(np.float32), "BF16": from_bfloat16}[dtype](stored)
    parts = []
    for i, (begin, end) in enumerate([(0, 1), (1, 300), (300, 300), (300, 700)]):
        path = tmp_path / f"model-{i}.safetensors"
        write_safetensors(
            path, {"odd": ("U8", np.zeros(i, np.uint8), [i]), "t": (dtype, stored[begin:end], (end - begin, 40))}
        )
        parts.append((str(path), "t"))
    layout = write_link(tmp_path / "table.link.json", parts)
    assert layout.encoding == {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype]
    check(tmp_path / "table.link.json", expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"model-{i}.safetensors" for i in range(4)] + [
        "table.link.json"
    ]


@pytest.mark.parametrize("scale", ["ue8m0", "F32", "F16", "BF16", "one", "none"])
@pytest.mark.parametrize("dim", [160, 33])
def test_fp8_with_scales_in_a_tensor_of_their_own(tmp_path, scale, dim):
    n, groups = 500, -(-dim // 32)
    codes = RNG.integers(0, 256, (n, dim), np.uint8)
    values = encodings.E4M3_VALUES[codes]  # NaN codes among them
    tensors = {"codes": ("F8_E4M3", codes, (n, dim))}
    if scale == "ue8m0":
        exponents = RNG.integers(100, 150, (n, groups), np.uint8)
        tensors["scale"] = ("F8_E8M0", exponents, (n, groups))
        factor = np.ldexp(np.float32(1), exponents.astype(np.int32) - 127).repeat(32, axis=1)[:, :dim]
    elif scale in ("F32", "F16", "BF16"):
        factor = RNG.uniform(0.01, 3, (n, 1)).astype(np.float32)
        stored = {"F32": factor, "F16": factor.astype(np.float16), "BF16": bfloat16(factor)}[scale]
        factor = from_bfloat16(stored) if scale == "BF16" else stored.astype(np.float32)
        tensors["scale"] = (scale, stored, (n, 1) if scale == "F16" else (n,))
    elif scale == "one":
        factor = np.float32(0.375)
        tensors["scale"] = ("BF16", bfloat16(np.float32([factor])), ())
    else:
        factor = np.float32(1)
    path, link = str(tmp_path / "s.safetensors"), tmp_path / "t.link.json"
    write_safetensors(tmp_path / "s.safetensors", tensors)
    write_link(link, [(path, "codes")], [(path, "scale")] if scale != "none" else None)
    check(link, values * factor)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", *KINDS])
def test_gguf_tensors(tmp_path, kind):
    gguf = pytest.importorskip("gguf")
    quantization, dim, n = gguf.GGMLQuantizationType[kind], 512, 300
    rows = RNG.standard_normal((n, dim)).astype(np.float32)
    data = random_blocks(RNG, kind, n, dim) if kind in KINDS else gguf.quants.quantize(rows, quantization)
    path, link = tmp_path / "m.gguf", tmp_path / "t.link.json"
    writer = gguf.GGUFWriter(str(path), "test")
    writer.add_array("an.array", ["of", "strings"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_float32("a.float", 1.5)
    writer.add_tensor("before", np.ones((3, 7), np.float32))
    writer.add_tensor("ngram_embd.weight", data, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_link(link, [(str(path), "ngram_embd.weight")])
    check(link, gguf.quants.dequantize(data, quantization))


@pytest.fixture
def link(tmp_path):
    """A link that works, to be damaged."""
    write_safetensors(tmp_path / "m.safetensors", {"t": ("F32", np.zeros((10, 8), np.float32), (10, 8))})
    write_link(tmp_path / "t.link.json", [(str(tmp_path / "m.safetensors"), "t")])
    Table(tmp_path / "t.link.json").close()
    return tmp_path / "t.link.json"


def change(link, **values) -> None:
    link.write_text(json.dumps(json.loads(link.read_text()) | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "engram_local.link.v2"}, "is not a link of format"),
        ({"rows": []}, "names no tensor"),
        ({"rows": 5}, "rows is not a list"),
        ({"rows": [{"file": "m.safetensors", "tensor": "nope"}]}, "has no tensor 'nope'"),
        ({"rows": [{"file": "other", "tensor": "t"}]}, "does not name a tensor"),
        ({"rows": [{"file": "m.safetensors"}]}, "does not name a tensor"),
        ({"scales": [{"file": "m.safetensors", "tensor": "t"}]}, "names scales for F32 rows"),
        ({"files": {"m.safetensors": {"bytes": 5}}}, "not those it had when it was linked"),
        ({"files": {"m.safetensors": 5}}, "not those it had when it was linked"),
        ({"files": {"gone": {"bytes": 5}}, "rows": [{"file": "gone", "tensor": "t"}]}, "cannot be read"),
    ],
)
def test_damaged_links(link, values, message):
    change(link, **values)
    with pytest.raises(TableError, match=message) as caught:
        Table(link)
    assert "\n" not in str(caught.value) and str(link) in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b"{}"])
def test_links_that_are_none(link, text):
    link.write_bytes(text)
    with pytest.raises(TableError, match=r"t\.link\.json"):
        Table(link)


@pytest.mark.parametrize(
    "header",
    [
        b'{"t":{"dtype":"F32","shape":[10,8],"data_offsets":[0,319]}}',
        b'{"t":{"dtype":"F32","shape":[10,8],"data_offsets":[64,384]}}',
        b'{"t":{"dtype":"F32","shape":[-10,-8],"data_offsets":[0,320]}}',
        b'{"t":{"dtype":"F32","shape":[10,8]}}',
        b'{"t":{"dtype":["F32"],"shape":[10,8],"data_offsets":[0,320]}}',
        b'{"t":7}',
        b"7",
        b"nonsense",
    ],
)
def test_damaged_safetensors(link, header):
    data = len(header).to_bytes(8, "little") + header + bytes(320)
    (link.parent / "m.safetensors").write_bytes(data)
    change(link, files={"m.safetensors": {"bytes": len(data)}})
    with pytest.raises(TableError, match=r"m\.safetensors"):
        Table(link)


def test_damaged_gguf(link):
    """Every cut and every altered byte of a small GGUF header is an error or harmless."""
    gguf = pytest.importorskip("gguf")
    path = link.parent / "m.gguf"
    writer = gguf.GGUFWriter(str(path), "test")
    writer.add_tensor("t", np.ones((4, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    good = path.read_bytes()
    write_link(link, [(str(path), "t")])
    accepted = 0
    for at in range(len(good) - 128):
        for data in (good[:at], good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]):
            path.write_bytes(data)
            change(link, files={"m.gguf": {"bytes": len(data)}})
            try:
                Table(link).close()
                accepted += 1
            except TableError:
                pass
    assert accepted < len(good)


def test_a_part_that_shrinks_while_open(tmp_path):
    rows = np.ones((3000, 64), np.float32)
    paths = [tmp_path / f"{i}.safetensors" for i in range(2)]
    for path in paths:
        write_safetensors(path, {"t": ("F32", rows, rows.shape)})
    write_link(tmp_path / "t.link.json", [(str(path), "t") for path in paths])
    for access in ("resident", "mmap", "direct"):
        with Table(tmp_path / "t.link.json", access=access, ram_limit=0 if access == "direct" else None) as table:
            table.gather([0, 5999])
            size = paths[1].stat().st_size
            os.truncate(paths[1], 100_000)
            with pytest.raises(TableError, match=r"1\.safetensors: .*cut short"):
                table.gather([0, 5999])
            os.truncate(paths[1], size)


def test_link_is_refused_where_it_cannot_be_written(tmp_path):
    write_safetensors(tmp_path / "m.safetensors", {"t": ("I64", np.zeros((2, 2), np.int64), (2, 2))})
    with pytest.raises(TableError, match="has no tensor 't' of a kind"):
        write_link(tmp_path / "t.link.json", [(str(tmp_path / "m.safetensors"), "t")])
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_files_of_rows_and_nothing_else(tmp_path):
    """Rows without a header, with one scale for all; what does not fit is named."""
    codes = np.random.default_rng(0).integers(0, 120, (7, 32), np.uint8)
    names = [str(tmp_path / f"{i}.bin") for i in range(2)]
    for name, part in zip(names, (codes[:4], codes[4:]), strict=True):
        part.tofile(name)
    raw = [(names[0], RawRows("F8_E4M3", (4, 32))), (names[1], RawRows("F8_E4M3", (3, 32)))]
    link = tmp_path / "t.link.json"
    write_link(link, raw, scale=0.25)
    with Table(link) as table:
        assert np.array_equal(table.gather(np.arange(7)), E4M3_VALUES[codes] * np.float32(0.25))
    assert read_places(link) == (raw, [], 0.25)
    for values, message in (
        ({"scale": -1}, "scale is -1, not a number above 0"),
        (
            {"rows": [{"file": "0.bin", "raw": {"dtype": "F8_E4M3", "shape": [5, 32]}}]},
            r"has 128 bytes, rows \[5, 32\]",
        ),
        ({"rows": [{"file": "0.bin", "raw": {"dtype": "F8", "shape": [4, 32]}}]}, "does not describe rows"),
        ({"rows": [{"file": "0.bin", "raw": 4}]}, "does not describe rows"),
        ({"files": {"0.bin": {"bytes": 5}, "1.bin": {"bytes": 96}}}, "not those it had when it was linked"),
        ({"rows": [{"file": "0.bin", "raw": {"dtype": "F16", "shape": [4, 16]}}]}, "names scales for F16 rows"),
    ):
        write_link(link, raw, scale=0.25)
        change(link, **values)
        with pytest.raises(TableError, match=message) as caught:
            Table(link)
        assert "\n" not in str(caught.value)
