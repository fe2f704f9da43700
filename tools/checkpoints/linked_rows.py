"""Rows of a table that lies outside the checkpoint, in files of others: found, and read where they lie."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from engram_local.errors import CheckpointError
from engram_local.tables.headers import DTYPE_BYTES, Tensor, read_header
from engram_local.tables.links import Place, RawRows, read_places, write_link
from engram_local.tables.table import Table
from engram_local.tools.checkpoints import deepseek_v41, qwen4_exp
from engram_local.tools.checkpoints.tensors import read_json
from engram_local.tools.checkpoints.view import RowSource
from engram_local.tools.gguf_files import read_gguf_files

INDEX = "model.safetensors.index.json"
STORE_SHARD = "shard_{:03}.bin"  # of an EngramDB store of one file a shard: rows and nothing else
TORCH_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3"}
SCALE = ".ngram_embedding.weight_scale"


class LinkedRows(RowSource):
    """A table in tensors of other files; arguments as for write_link. Raises TableError."""

    is_foreign = True

    def __init__(self, parts: Sequence[Place], scales: Sequence[Place] = (), scale: float = 1.0):
        self.parts, self.scales, self.scale = parts, scales, scale
        with TemporaryDirectory() as scratch:
            self._layout = write_link(Path(scratch) / "table.link.json", parts, scales, scale)
        self.n_rows, self.dim, self.encoding = self._layout.n_rows, self._layout.dim, self._layout.encoding

    def read(self, start: int, stop: int) -> np.ndarray:
        with Table(self._layout, access="mmap") as table:
            return table.gather(np.arange(start, stop))


def find_rows(path: str | Path) -> LinkedRows:
    """The n-gram table at `path`: a link, a GGUF (of a split its first part), or a Hugging Face folder of qwen4_exp.
    Raises EngramError."""
    path = Path(path)
    if path.name.endswith(".link.json"):
        return LinkedRows(*read_places(path))
    if path.suffix == ".gguf":
        gguf = read_gguf_files(path)
        if qwen4_exp.TABLE not in gguf.tensors:
            raise CheckpointError(f"{path}: has no tensor {qwen4_exp.TABLE}; it is no GGUF with an n-gram table")
        return LinkedRows([(str(gguf.tensors[qwen4_exp.TABLE][0]), qwen4_exp.TABLE)])
    if not path.is_dir():
        raise CheckpointError(f"{path}: is no link, GGUF or folder that an n-gram table could lie in")
    tensors = find_tensors(path, ".ngram_embedding.")
    shards = {int(match[3]): name for name in tensors if (match := qwen4_exp.SHARD.fullmatch(name))}
    missing = [i for i in range(max(shards, default=-1) + 1) if i not in shards]
    if not shards or missing:
        lacks = f"shard_{missing[0]}.weight" if missing else "...ngram_embedding.shard_0.weight"
        raise CheckpointError(f"{path}: has no tensor {lacks}; fetch the files that hold the n-gram table")
    scales = [(str(file), name) for name, (file, _) in tensors.items() if name.endswith(SCALE)]
    return LinkedRows([(str(tensors[shards[i]][0]), shards[i]) for i in sorted(shards)], scales)


def find_engram_rows(path: str | Path, layer_id: int) -> LinkedRows:
    """One layer's table of DeepSeek-V4.1 at `path`: a GGUF (of a split its first part), or the folder of its shards,
    whose rows are fp8 with a power of two for every 32 values. Raises EngramError."""
    path = Path(path)
    if path.suffix == ".gguf":
        gguf, name = read_gguf_files(path), deepseek_v41.GGUF_ROWS.format(layer_id)
        if name not in gguf.tensors:
            raise CheckpointError(f"{path}: has no tensor {name}; it is no GGUF with that layer's table")
        return LinkedRows([(str(gguf.tensors[name][0]), name)])
    names = [x.format(layer_id) for x in (deepseek_v41.ROWS, deepseek_v41.SCALES)]
    tensors = find_tensors(path, ".engram.embed.")
    for name in names:
        if name not in tensors:
            raise CheckpointError(f"{path}: has no tensor {name}; fetch the files that hold the Engram tables")
    rows, scales = ((str(tensors[name][0]), name) for name in names)
    return LinkedRows([rows], [scales])


def find_constants(folder: Path) -> dict[str, list[int]]:
    """The hash's constants that a Hugging Face checkpoint of qwen4_exp holds, by their names; else those that its
    config.json makes. Raises CheckpointError."""
    found = {}
    for name, (file, tensor) in find_tensors(folder, ".ple_embedding.").items():
        key = name.rpartition(".")[2]
        if key in qwen4_exp.CONSTANTS and tensor.dtype == "I64":
            with open(file, "rb") as source:
                source.seek(tensor.offset)
                found[key] = np.frombuffer(source.read(tensor.n_bytes), "<i8").tolist()
    if len(found) == len(qwen4_exp.CONSTANTS):
        return found
    file = folder / "config.json"
    config = read_json(file)
    layer = qwen4_exp.block_of_config(config.get("text_config") or config, file)["layers"][0]
    orders = layer["orders"]
    made = {
        "layer_multipliers": [m for _, m in orders[-1]["terms"]],
        "ngram_heads_vocab_sizes": [x for o in orders for x in o["moduli"]],
        "ngram_heads_offsets": [x for o in orders for x in o["offsets"]],
    }
    return made | found


def store_rows(folder: Path, n_shards: int, rows_per_shard: int, width: int, dtype: str, scale: float) -> LinkedRows:
    """Rows of an EngramDB store: `n_shards` files of `rows_per_shard` rows of `width` bytes of torch's `dtype`. Raises
    EngramError."""
    if dtype not in TORCH_DTYPES:
        raise CheckpointError(f"{folder}: rows of {dtype[:40]} are not known; known are {', '.join(TORCH_DTYPES)}")
    size = DTYPE_BYTES[TORCH_DTYPES[dtype]]
    if width % size:
        raise CheckpointError(f"{folder}: {width} bytes a row are no {dtype} values")
    files = [folder / STORE_SHARD.format(i) for i in range(n_shards)]
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{file}: no such file; the store of {n_shards} shards is not whole, fetch it again")
    raw = RawRows(TORCH_DTYPES[dtype], (rows_per_shard, width // size))
    return LinkedRows([(str(x.resolve()), raw) for x in files], scale=scale)


def find_tensors(folder: Path, part: str) -> dict[str, tuple[Path, Tensor]]:
    """{name: (file, tensor)} of the tensors in a folder's safetensors files that have `part` in their name. Reads the
    files that the index names for them, all without one. Raises CheckpointError."""
    index = folder / INDEX
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise CheckpointError(f"{index}: has no weight_map; fetch it again")
        files = sorted({str(file) for name, file in weight_map.items() if part in f".{name}"})
    else:
        files = sorted(x.name for x in folder.glob("*.safetensors"))
    found = {}
    for file in files:
        path = folder / Path(file).name
        tensors = read_header(path, "safetensors", CheckpointError, "fetch it again").tensors
        found.update({name: (path.resolve(), x) for name, x in tensors.items() if part in f".{name}"})
    return found


def read_scale(folder: Path) -> float | None:
    """The one scale of the fp8 table in a Hugging Face folder of qwen4_exp, None where it has none."""
    for name, (file, tensor) in find_tensors(folder, SCALE).items():
        if name.endswith(SCALE) and (tensor.dtype, tensor.n_bytes) in (("F32", 4), ("BF16", 2)):
            with open(file, "rb") as source:
                source.seek(tensor.offset)
                data = source.read(tensor.n_bytes)
            return float(np.frombuffer(data.rjust(4, b"\0"), "<f4")[0])
    return None
