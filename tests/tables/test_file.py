"""The table file: golden bytes, files that lie about themselves, the writer's promises, verify's findings."""

import errno
import hashlib
import json
import os
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engram_local.errors import TableError
from engram_local.tables import encodings
from engram_local.tables import file as table_file
from engram_local.tables.file import TableWriter, read_header, verify


def rows_of(n: int, dim: int) -> np.ndarray:
    return np.random.default_rng(n * dim).standard_normal((n, dim)).astype(np.float32)


def write(path, encoding="int8", n=10, dim=8) -> np.ndarray:
    rows = rows_of(n, dim)
    with TableWriter(path, encoding, n, dim) as writer:
        writer.append(rows)
    return rows


def problems(path) -> list[str]:
    return [finding.problem for finding in verify(path) if finding.problem]


def test_golden_bytes(tmp_path):
    """Two rows of two int8 values: the whole file, as docs/format.md shows it."""
    path = tmp_path / "golden.safetensors"
    with TableWriter(path, "int8", 2, 2) as writer:
        writer.append(np.float32([[127, -127], [0, 254]]))
    text = (
        b'{"__metadata__":{"format":"engram_local.table.v1","encoding":"int8","rows":"2","dim":"2","row_bytes":"4",'
        b'"block_bytes":"1048576","checksum":"crc32","block_checksums":"73938669"},'
        b'"rows":{"dtype":"U8","shape":[2,4],"data_offsets":[0,8]}}'
    )
    rows = bytes([127, 129, 0x00, 0x3C, 0, 127, 0x00, 0x40])
    assert zlib.crc32(rows) == 0x73938669
    assert path.read_bytes() == (4088).to_bytes(8, "little") + text + b" " * (4088 - len(text)) + rows


@pytest.mark.parametrize("encoding", table_file.ENCODINGS)
def test_safetensors_reads_what_we_write(tmp_path, encoding):
    safetensors = pytest.importorskip("safetensors")
    path = tmp_path / "t.safetensors"
    rows = write(path, encoding, 4100, 96)  # some encodings fill more than one block, the last one short
    with safetensors.safe_open(path, "np") as file:
        data = file.get_tensor("rows")
        assert file.metadata()["encoding"] == encoding and list(file.keys()) == ["rows"]
    assert np.array_equal(data, encodings.encode(encoding, rows))
    header = read_header(path)
    assert (header.encoding, header.n_rows, header.dim, header.row_bytes) == (encoding, 4100, 96, data.shape[1])
    assert header.data_offset % 4096 == 0 and header.data_bytes == data.nbytes
    blocks = [data.tobytes()[i : i + 2**20] for i in range(0, data.nbytes, 2**20)]
    assert header.block_checksums == tuple(map(zlib.crc32, blocks))
    findings = list(verify(path))
    assert [f.problem for f in findings] == [None] * len(blocks)
    assert findings[-1].done_bytes == findings[-1].total_bytes == data.nbytes


def test_pieces_and_encoded_rows_give_the_same_file(tmp_path):
    whole, pieces, encoded = (tmp_path / name for name in ("whole", "pieces", "encoded"))
    rows = write(whole, "int4", 30000, 96)
    with TableWriter(pieces, "int4", 30000, 96) as writer:
        for start in range(0, 30000, 7777):
            writer.append(rows[start : start + 7777])
            writer.append(rows[:0])
    with TableWriter(encoded, "int4", 30000, 96) as writer:
        writer.append_rows(encodings.encode("int4", rows))
    assert hashlib.sha256(whole.read_bytes()).digest() == hashlib.sha256(pieces.read_bytes()).digest()
    assert whole.read_bytes() == encoded.read_bytes()


def patch_header(path, change) -> None:
    """Apply `change` to the parsed header and write it back, padded to the same place for the rows."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = change(header)
    text = json.dumps(header if text is None else text).encode() if not isinstance(text, bytes) else text
    text += b" " * (-(8 + len(text)) % 4096)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def setter(*keys, value):
    def change(header):
        for key in keys[:-1]:
            header = header[key]
        header[keys[-1]] = value

    return change


HOSTILE_HEADERS = {
    "another format": (
        setter("__metadata__", "format", value="engram_local.table.v9"),
        "format is 'engram_local.table.v9'",
    ),
    "no metadata": (lambda h: {"rows": h["rows"]}, "not one tensor named rows"),
    "metadata is a list": (setter("__metadata__", value=[]), "format is 'None'"),
    "no rows tensor": (lambda h: {"__metadata__": h["__metadata__"], "weight": h["rows"]}, "not one tensor named rows"),
    "an overlapping tensor": (lambda h: h | {"other": h["rows"]}, "described as beginning at byte"),
    "a key twice": (lambda h: b'{"__metadata__":{},"rows":1,"rows":2}', "a key appears twice"),
    "not an object": (lambda h: b"[1,2]", "holds list"),
    "not JSON": (lambda h: b"\x00\x01nonsense", "not JSON"),
    "not UTF-8": (lambda h: b'{"rows":"\xff"}', "not JSON"),
    "nested too deep": (lambda h: b"[" * 100_000, "not JSON"),
    "unknown encoding": (setter("__metadata__", "encoding", value="int3"), "encoding is 'int3'"),
    "encoding is a number": (setter("__metadata__", "encoding", value=8), "encoding is '8'"),
    "wrong dtype": (setter("rows", "dtype", value="F32"), "described as"),
    "shape in three": (setter("rows", "shape", value=[10, 10, 1]), "described as"),
    "negative shape": (setter("rows", "shape", value=[-10, 10]), "described as"),
    "offsets past the end": (setter("rows", "data_offsets", value=[0, 101]), "described as"),
    "offsets from the middle": (setter("rows", "data_offsets", value=[1, 101]), "described as"),
    "more rows than bytes": (setter("__metadata__", "rows", value="11"), "described as"),
    "rows is not a string": (setter("__metadata__", "rows", value=10), "not a decimal number"),
    "rows is negative": (setter("__metadata__", "rows", value="-10"), "not a decimal number"),
    "rows is huge": (setter("__metadata__", "rows", value="9" * 5000), "not a decimal number"),
    "rows is beyond the limit": (setter("__metadata__", "rows", value=str(2**41)), "not in"),
    "dim is zero": (setter("__metadata__", "dim", value="0"), "dim is 0"),
    "dim in other digits": (setter("__metadata__", "dim", value="８"), "not a decimal number"),
    "row_bytes differ": (setter("__metadata__", "row_bytes", value="9"), "row_bytes is 9"),
    "another block size": (setter("__metadata__", "block_bytes", value="512"), "block_bytes is 512"),
    "another checksum": (setter("__metadata__", "checksum", value="md5"), "checksum is 'md5'"),
    "too few checksums": (setter("__metadata__", "block_checksums", value=""), "block_checksums has 0 digits"),
    "checksums with spaces": (setter("__metadata__", "block_checksums", value="12 34567"), "not hexadecimal"),
    "checksums are no text": (setter("__metadata__", "block_checksums", value=None), "not hexadecimal"),
    "rows off their boundary": (
        lambda h: json.dumps(h).encode() + b" " * (4096 - len(json.dumps(h)) - 7),
        "start at byte",
    ),
}


@pytest.mark.parametrize("name", HOSTILE_HEADERS)
def test_hostile_headers(tmp_path, name):
    path = tmp_path / "t.safetensors"
    change, message = HOSTILE_HEADERS[name]
    write(path)
    patch_header(path, lambda header: None)  # the control: written back unchanged, it is accepted
    read_header(path)
    if name == "rows off their boundary":
        data = path.read_bytes()
        text = data[8:4096].rstrip() + b" " * 5
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[4096:])
    else:
        patch_header(path, change)
    with pytest.raises(TableError, match=message) as caught:
        read_header(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert problems(path) == [str(caught.value)]


def test_hostile_lengths(tmp_path):
    path = tmp_path / "t.safetensors"
    for data in (b"", b"\x01", b"\x00" * 8, (2**63).to_bytes(8, "little") + b"{}", (100).to_bytes(8, "little") + b"{}"):
        path.write_bytes(data)
        with pytest.raises(TableError, match=r"t\.safetensors: "):
            read_header(path)
    with open(path, "wb") as file:  # a sparse file whose header would not fit into memory
        file.write((2**36).to_bytes(8, "little"))
        file.truncate(2**37)
    with pytest.raises(TableError, match="claims 68719476736 bytes"):
        read_header(path)


def test_truncated_and_grown_files(tmp_path):
    path = tmp_path / "t.safetensors"
    write(path)
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:5000][:-900], whole + b"\x00"):
        path.write_bytes(data)
        with pytest.raises(TableError, match="bytes"):
            read_header(path)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir()], ids=["missing", "a folder"])
def test_files_that_cannot_be_read(tmp_path, make):
    make(tmp_path / "t")
    with pytest.raises(TableError, match="cannot be read"):
        read_header(tmp_path / "t")


def test_verify_names_the_altered_block(tmp_path):
    path = tmp_path / "t.safetensors"
    write(path, "float32", 30000, 32)
    data = bytearray(path.read_bytes())
    data[4096 + 2**20 + 17] ^= 1
    data[-1] ^= 0x01
    path.write_bytes(data)
    found = problems(path)
    assert len(found) == 2 and "block 1 (bytes 1052672 and on) does not match" in found[0] and "block 3" in found[1]


@pytest.mark.parametrize("encoding", ["int8", "int4", "fp8_e4m3"])
def test_verify_finds_scales_that_are_not_finite(tmp_path, encoding):
    path = tmp_path / "t.safetensors"
    rows = encodings.encode(encoding, rows_of(9000, 160))
    rows[8123, -2:] = 255  # NaN as float16 and as ue8m0
    with TableWriter(path, encoding, 9000, 160) as writer:
        writer.append_rows(rows)
    assert problems(path) == [f"{path}: row 8123 holds NaN or infinity; export the table again"]


def test_nothing_stays_behind_a_failed_write(tmp_path):
    path = tmp_path / "t.safetensors"
    with (
        pytest.raises(TableError, match="10 rows were written, 11 were announced"),
        TableWriter(path, "int8", 11, 8) as writer,
    ):
        writer.append(rows_of(10, 8))
    with pytest.raises(KeyboardInterrupt), TableWriter(path, "int8", 11, 8):
        raise KeyboardInterrupt
    with pytest.raises(TableError, match="after 10 rows, row 1 holds NaN"), TableWriter(path, "int8", 12, 8) as writer:
        writer.append(rows_of(10, 8))
        writer.append(np.float32([[1] * 8, [np.nan] * 8]))
    with pytest.raises(TableError, match="cannot append"), TableWriter(path, "int8", 3, 8) as writer:
        writer.append(rows_of(4, 8))
    with pytest.raises(TableError, match="cannot append"), TableWriter(path, "int8", 3, 8) as writer:
        writer.append(rows_of(3, 9))
    assert list(tmp_path.iterdir()) == []


def test_the_old_table_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "t.safetensors"
    write(path, n=5)
    with pytest.raises(ValueError), TableWriter(path, "int8", 6, 8):
        raise ValueError
    assert read_header(path).n_rows == 5
    write(path, n=6)
    assert read_header(path).n_rows == 6 and os.listdir(tmp_path) == ["t.safetensors"]


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    real_open = open
    monkeypatch.setattr(
        "builtins.open", lambda p, *a, **k: real_open("/dev/full" if str(p).endswith(".partial") else p, *a, **k)
    )
    with (
        pytest.raises(TableError, match=os.strerror(errno.ENOSPC)),
        TableWriter(tmp_path / "t", "int8", 100_000, 64) as writer,
    ):
        writer.append(rows_of(100_000, 64))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match="cannot be written"):
        TableWriter(tmp_path / "no" / "t", "int8", 1, 8)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_of_the_header_is_refused_or_harmless(tmp_path_factory, data):
    """Fuzz: a field replaced, or bytes overwritten in the header: a TableError or the same table, never else."""
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    if not path.with_suffix(".good").exists():
        write(path.with_suffix(".good"))
    path.write_bytes(path.with_suffix(".good").read_bytes())
    good = read_header(path)
    if data.draw(st.booleans()):
        section = data.draw(st.sampled_from(["__metadata__", "rows"]))

        def change(header):
            key = data.draw(st.sampled_from(sorted(header[section])) | st.text(max_size=4))
            header[section][key] = data.draw(json_values)

        patch_header(path, change)
    else:
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, 420))
        new = data.draw(st.binary(min_size=1, max_size=12))
        content[at : at + len(new)] = new
        path.write_bytes(content)
    try:
        header = read_header(path)
    except TableError:
        return
    assert (header.n_rows, header.dim, header.row_bytes, header.data_offset) == (
        good.n_rows,
        good.dim,
        good.row_bytes,
        good.data_offset,
    )
