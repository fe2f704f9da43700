"""What is fed with hostile bytes: every parser of a file that may come from somebody else.

A target takes bytes and either returns or raises an EngramError; anything else is a finding. What is accepted is used:
rows are gathered, ids are hashed. SEEDS holds one good input of each.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from engram_local import config, model_folder
from engram_local.backbone_link import FORMAT as BACKBONE_FORMAT
from engram_local.backbone_link import read_backbone_link
from engram_local.hashing import NgramHasher
from engram_local.tables import file as table_file
from engram_local.tables.links import FORMAT as LINK_FORMAT
from engram_local.tables.table import Table

_FOLDER = tempfile.TemporaryDirectory(prefix="engram_local_fuzz")
HERE = Path(_FOLDER.name)
ROWS = np.arange(40, dtype=np.float32).reshape(10, 4)


def table(data: bytes) -> None:
    """A table file: header and rows."""
    path = HERE / "t.safetensors"
    path.write_bytes(data)
    _use(path)


def link(data: bytes) -> None:
    """A *.link.json beside a good safetensors and a good GGUF file."""
    path = HERE / "t.link.json"
    path.write_bytes(data)
    _use(path)


def linked_safetensors(data: bytes) -> None:
    _linked("other.safetensors", "t", data)


def linked_gguf(data: bytes) -> None:
    _linked("other.gguf", "t", data)


def backbone(data: bytes) -> None:
    """A backbone.link.json beside a good file."""
    path = HERE / "backbone.link.json"
    path.write_bytes(data)
    read_backbone_link(path)


def token_map(data: bytes) -> None:
    path = HERE / "token_map.safetensors"
    path.write_bytes(data)
    model_folder.read_token_map(path)


def manifest(data: bytes) -> None:
    path = HERE / "manifest.json"
    path.write_bytes(data)
    for name, entry in model_folder.read_manifest(HERE)["files"].items():
        assert config.inside(name)
        model_folder.check_size(HERE / name, entry["bytes"])


def engram_block(data: bytes) -> None:
    """The "engram" block of config.json, and hashing as it says."""
    path = HERE / "config.json"
    path.write_bytes(data)
    block = config.EngramConfig.from_dict(model_folder.read_json(path))
    assert config.EngramConfig.from_dict(block.to_dict()) == block
    tokens = np.arange(20) % block.n_ids
    hasher = NgramHasher(block, None if block.token_map is None else tokens.astype(np.int32))
    for layer in block.layers:
        if layer.n_heads < 10_000:
            ids = hasher.row_ids(tokens[: hasher.vocab_size], layer.layer_id)
            assert ids.min() >= 0 and ids.max() < layer.n_rows


def _linked(name: str, tensor: str, data: bytes) -> None:
    (HERE / name).write_bytes(data)
    path = HERE / "hostile.link.json"
    path.write_text(_link_text(name, len(data), tensor))
    _use(path)


def _link_text(name: str, n_bytes: int, tensor: str) -> str:
    rows = [{"file": name, "tensor": tensor}]
    return json.dumps({"format": LINK_FORMAT, "files": {name: {"bytes": n_bytes}}, "rows": rows, "scales": []})


def _use(path: Path) -> None:
    for access in ("mmap", "direct"):
        with Table(path, access=access, ram_limit=0) as opened:
            opened.gather([0, opened.n_rows // 2, opened.n_rows - 1])


def _safetensors() -> bytes:
    header = json.dumps({"t": {"dtype": "F32", "shape": [10, 4], "data_offsets": [0, 160]}}).encode()
    return len(header).to_bytes(8, "little") + header + ROWS.tobytes()


def _gguf() -> bytes:
    """Version 3, one key, one F32 tensor "t" of 10 rows of 4 values."""

    def text(value: bytes) -> bytes:
        return len(value).to_bytes(8, "little") + value

    def numbers(size: int, *values: int) -> bytes:
        return b"".join(x.to_bytes(size, "little") for x in values)

    head = b"GGUF" + numbers(4, 3) + numbers(8, 1, 1)
    head += text(b"a.key") + numbers(4, 9, 8) + numbers(8, 2) + text(b"x") + text(b"yz")
    head += text(b"t") + numbers(4, 2) + numbers(8, 4, 10) + numbers(4, 0) + numbers(8, 0)
    return head + bytes(-len(head) % 32) + ROWS.tobytes()


def _table() -> bytes:
    path = HERE / "good.safetensors"
    with table_file.TableWriter(path, "int8", 10, 4) as writer:
        writer.append(ROWS)
    return path.read_bytes()


def _block() -> dict:
    orders = [
        {"order": 2, "terms": [[0, 35], [1, 77]], "moduli": [11, 13], "offsets": [0, 11]},
        {"order": 3, "terms": [[0, 5], [1, 7], [2, 9]], "moduli": [17], "offsets": [24]},
    ]
    layer = {
        "layer_id": 1,
        "site": "block",
        "streams": 1,
        "head_dim": 4,
        "n_rows": 41,
        "encoding": "int8",
        "table": "tables/1",
    }
    layer |= {"conv": {"kernel": 4, "dilation": 3}, "orders": orders}
    return {
        "version": 2,
        "fuse": "gated",
        "residual_streams": 1,
        "ids": {"source": "raw", "n_ids": 20, "token_map": None},
        "window": {"fill_id": 0, "segment_ids": [3]},
        "mix": "xor",
        "layers": [layer],
    }


def _manifest() -> bytes:
    entry = {"bytes": 3, "sha256": "00" * 32}
    files = {"config.json": entry, "tables/layer_1.safetensors": entry}
    return json.dumps({"format": model_folder.FORMAT, "created_by": "a test", "files": files}).encode()


def _token_map() -> bytes:
    header = json.dumps({"token_map": {"dtype": "I32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    return len(header).to_bytes(8, "little") + header + np.arange(4, dtype="<i4").tobytes()


SEEDS = {
    table: _table(),
    link: _link_text("good_other.safetensors", len(_safetensors()), "t").encode(),
    linked_safetensors: _safetensors(),
    linked_gguf: _gguf(),
    backbone: json.dumps({"format": BACKBONE_FORMAT, "files": [{"file": "good", "bytes": 4}] * 3}).encode(),
    token_map: _token_map(),
    manifest: _manifest(),
    engram_block: json.dumps(_block()).encode(),
}
(HERE / "good_other.safetensors").write_bytes(_safetensors())
(HERE / "good").write_bytes(b"GGUF")
