"""One reader of safetensors headers: what safetensors itself refuses is refused, whoever asks and in whose name."""

import json
import struct

import numpy as np
import pytest

from engram_local.errors import ConfigError, EngramError, ModelFolderError, TableError
from engram_local.model_folder import read_token_map
from engram_local.tables.headers import HeaderError, Tensor, parse_header, read_header
from engram_local.tables.links import write_link
from engram_local.tables.table import Table, read_layout

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5000000\n"


def write(path, text: bytes | dict, n_bytes: int = 16) -> None:
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(n_bytes))


def entry(dtype="F32", shape=(2, 2), offsets=(0, 16)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "f.safetensors"


def test_tensors_and_metadata(path):
    header = {"__metadata__": {"by": "me"}, "b": entry("U8", (4,), (12, 16)), "a": entry("F32", (3,), (0, 12))}
    write(path, header | {"empty": entry("F16", (0, 7), (12, 12))})
    found = read_header(path, "a table", TableError, "copy it again")
    start = found.data_offset
    assert found.metadata == {"by": "me"} and found.file_bytes == start + 16 == path.stat().st_size
    assert found.tensors["a"] == Tensor("F32", (3,), start, 12)
    assert found.tensors["b"] == Tensor("U8", (4,), start + 12, 4)


HOSTILE = {
    "a key twice": (b'{"t":%b,"t":%b}' % ((json.dumps(entry()).encode(),) * 2), "a key appears twice"),
    "a key twice within": (
        b'{"t":{"dtype":"F32","shape":[2,2],"shape":[2,2],"data_offsets":[0,16]}}',
        "a key appears twice",
    ),
    "NaN": (b'{"t":{"dtype":"F32","shape":[NaN,2],"data_offsets":[0,16]}}', "NaN is no number of JSON"),
    "infinity": (b'{"t":{"dtype":"F32","shape":[2,2],"data_offsets":[0,Infinity]}}', "Infinity is no number of JSON"),
    "negative shape": ({"t": entry(shape=(-2, -2))}, "described as"),
    "negative offset": ({"t": entry(offsets=(-16, 0))}, "described as"),
    "backwards": ({"t": entry("U8", (0,), (16, 0))}, "described as"),
    "floats": ({"t": entry(shape=(2.0, 2))}, "described as"),
    "booleans": ({"t": entry("U8", (True,), (0, 1))}, "described as"),
    "numbers as text": ({"t": entry(shape=("2", 2))}, "described as"),
    "too few bytes for the shape": ({"t": entry(shape=(2, 3))}, "described as"),
    "shape without end": ({"t": entry(shape=(2**62, 2**62))}, "described as"),
    "beyond the file": ({"t": entry(shape=(3, 2), offsets=(0, 24))}, "the file has .* bytes, but its header describes"),
    "bytes that are nobody's": ({"t": entry(shape=(2,), offsets=(0, 8))}, "the file has .* bytes, but its header"),
    "overlap": ({"t": entry(), "u": entry(shape=(1,), offsets=(8, 12))}, "beginning at byte"),
    "hole": ({"t": entry(shape=(1,), offsets=(0, 4)), "u": entry(shape=(2,), offsets=(8, 16))}, "beginning at byte"),
    "no offsets": ({"t": {"dtype": "F32", "shape": [2, 2]}}, "described as"),
    "an unknown key": ({"t": entry() | {"strides": [2, 1]}}, "described as"),
    "not by name": (b"[1]", "holds list"),
    "no JSON": (b"nonsense", "not JSON"),
    "nothing": (b"", "not JSON"),
    "nested": (b"[" * 50_000, "not JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers(path, name):
    text, message = HOSTILE[name]
    write(path, {"t": entry()})
    with open(path, "rb") as file:  # the control
        assert set(parse_header(file).tensors) == {"t"}
    write(path, text)
    for error in (TableError, ModelFolderError, ConfigError):
        with pytest.raises(error, match=message) as caught:
            read_header(path, "a thing", error, "fetch it again")
        said = str(caught.value)
        assert said.startswith(f"{path}: not a thing: ") and said.endswith("; fetch it again") and len(said) < 400
        assert "\n" not in said


@pytest.mark.parametrize("name", [x for x in HOSTILE if not x.startswith(("a key", "an unknown key"))])
def test_safetensors_refuses_them_too(path, name):
    """Two keys of one name, and names that it does not know, it lets pass."""
    safetensors = pytest.importorskip("safetensors")
    write(path, HOSTILE[name][0])
    with pytest.raises(Exception), safetensors.safe_open(path, "np") as file:  # noqa: B017 (its errors share no base)
        for tensor in file.keys():  # noqa: SIM118 (no mapping)
            file.get_tensor(tensor)


def test_lengths(path):
    for data in (b"", b"\x01", (2**63).to_bytes(8, "little") + b"{}", (3).to_bytes(8, "little") + b"{}"):
        path.write_bytes(data)
        with open(path, "rb") as file, pytest.raises(HeaderError, match="the header claims"):
            parse_header(file)


def test_a_git_lfs_pointer_is_named(tmp_path):
    """In place of a table, a linked shard, a linked GGUF, and the token map."""
    pointer = tmp_path / "f.safetensors"
    shard, gguf = tmp_path / "m.safetensors", tmp_path / "m.gguf"
    write(shard, {"t": entry()})
    gguf.write_bytes(b"")
    write_link(tmp_path / "t.link.json", [(str(shard), "t")])
    for file in (pointer, shard, gguf):
        file.write_bytes(POINTER)
    link = json.loads((tmp_path / "t.link.json").read_text())
    link |= {"files": {"m.gguf": {"bytes": 5}}, "rows": [{"file": "m.gguf", "tensor": "t"}]}
    (tmp_path / "g.link.json").write_text(json.dumps(link))
    uses = {
        lambda: read_layout(pointer): pointer,
        lambda: Table(pointer): pointer,
        lambda: read_layout(tmp_path / "t.link.json"): shard,
        lambda: read_layout(tmp_path / "g.link.json"): gguf,
        lambda: read_token_map(pointer): pointer,
    }
    for use, file in uses.items():
        with pytest.raises(EngramError) as caught:
            use()
        assert str(caught.value) == f"{file}: is a Git LFS pointer in place of the file; run git lfs pull"


def test_token_maps(path):
    values = np.array([3, 0, 1], "<i4")
    text = json.dumps({"token_map": entry("I32", (3,), (0, 12))}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values.tobytes())
    assert read_token_map(path).tolist() == [3, 0, 1]
    for wrong, message in (
        ({"other": entry("I32", (4,))}, "it is missing"),
        ({"token_map": entry("F32", (4,))}, r"it is F32 \[4\]"),
        ({"token_map": entry("I32", (2, 2))}, r"it is I32 \[2, 2\]"),
    ):
        write(path, wrong)
        with pytest.raises(ModelFolderError, match=rf"f\.safetensors: not a token map .*{message}"):
            read_token_map(path)
