"""What a published model's tables are, by its config.json or a GGUF's header alone: no weights need be there.

Which rows a token reads follows from the same numbers, and from the tokenizer where ids are compressed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.config import EngramConfig
from engram_local.errors import CheckpointError, EngramError
from engram_local.tables.links import gguf_encoding
from engram_local.tools.checkpoints import deepseek_v41, demo, engram_peft, longcat, qwen4_exp
from engram_local.tools.checkpoints.blocks import engram_block
from engram_local.tools.checkpoints.linked_rows import find_engram_rows, find_rows
from engram_local.tools.checkpoints.tensors import read_json, read_numbers
from engram_local.tools.checkpoints.token_maps import vocabulary_map, whole_map
from engram_local.tools.gguf_files import GgufFiles, read_gguf_files

TOKENIZER = "tokenizer.json"
FAMILIES = "DeepSeek-V4.1, qwen4_exp, LongCat's n-gram embedding, the Engram demo, engram-peft"


@dataclass(frozen=True)
class TableSpec:
    """Tables and hashing of one model."""

    path: Path  # what was read
    family: str
    engram: EngramConfig
    sizes: dict[str, int | None]  # hidden_size, num_hidden_layers, vocab_size
    stored: str | None = None  # encoding of the rows in the file at hand
    token_map: np.ndarray | None = None  # int32 [vocab]; None where raw ids are hashed, or it is not known
    tokenizer: Path | None = None  # a tokenizer.json, or a GGUF
    note: str | None = None  # what keeps a backbone of it from running here

    @property
    def can_hash(self) -> bool:
        """Whether the ids that are hashed are known."""
        return self.engram.id_source == "raw" or self.token_map is not None


def read_table_spec(path: str | Path) -> TableSpec:
    """Read a config.json (or a part of one), the folder that holds it, or a GGUF (of a split its first part). Raises
    EngramError, naming the file and what it lacks."""
    path = Path(path)
    if path.suffix == ".gguf":
        return _of_gguf(read_gguf_files(path))
    file = path
    if path.is_dir():
        file = next((path / x for x in ("config.json", demo.CONFIG_FILE) if (path / x).is_file()), path / "config.json")
    whole = read_json(file)
    tokenizer = file.parent / TOKENIZER if (file.parent / TOKENIZER).is_file() else None
    config = whole.get("text_config") if isinstance(whole.get("text_config"), dict) else whole
    sizes = {key: _size(config, key) for key in ("hidden_size", "num_hidden_layers", "vocab_size")}
    family, token_map, note = str(whole.get("model_type") or config.get("model_type") or ""), None, None
    if "engram_num_embeddings" in config:
        family, note = family or deepseek_v41.MODEL_TYPE, deepseek_v41.NO_BACKBONE
        token_map = whole_map(file.parent) if tokenizer else None
        block = deepseek_v41.block_of_config(config, file, token_map)
    elif "ngram_vocab_size_base" in config:
        family = family or qwen4_exp.MODEL_TYPE
        block = qwen4_exp.block_of_config(config, file)
    elif "emb_neighbor_num" in config:
        family, note = family or longcat.MODEL_TYPE, longcat.NO_BACKBONE
        block = longcat.block_of_config(config, file)
    elif "engram_vocab_size_per_ngram" in config:
        family = "engram-peft"
        block, token_map, tokenizer = _of_engram_peft(file, config)
    else:
        found = next((x for x in (config, *(whole.get(k) for k in demo.CONFIG_KEYS)) if _is_demo(x)), None)
        if found is None:
            raise CheckpointError(f"{file}: describes no n-gram tables of a kind that is known here: {FAMILIES}")
        family = "Engram demo"
        block, token_map = _of_demo(file, found, tokenizer)
    engram = EngramConfig.from_dict(block, str(file))
    return TableSpec(file, family, engram, sizes, _stored(file, config, engram), token_map, tokenizer, note)


def _stored(file: Path, config: dict, engram: EngramConfig) -> str | None:
    """The encoding of the rows beside a config.json; None where they are not there."""
    try:
        if "engram_num_embeddings" in config:
            return find_engram_rows(file.parent, engram.layers[0].layer_id).encoding
        return find_rows(file.parent).encoding if "ngram_vocab_size_base" in config else None
    except EngramError:
        return None


def _of_gguf(gguf: GgufFiles) -> TableSpec:
    sizes = {
        "hidden_size": gguf.keys.get("embedding_length"),
        "num_hidden_layers": gguf.keys.get("block_count"),
        "vocab_size": gguf.n_tokens,
    }
    if gguf.architecture == deepseek_v41.ARCHITECTURE:
        block, token_map = deepseek_v41.block_of_gguf(gguf)
        name, note = deepseek_v41.GGUF_ROWS.format(block["layers"][0]["layer_id"]), deepseek_v41.NO_BACKBONE
        found = gguf.tensors.get(name)
        stored = gguf_encoding(found[1].kind) if found else None
        engram = EngramConfig.from_dict(block, str(gguf.path))
        return TableSpec(gguf.path, gguf.architecture, engram, sizes, stored, token_map, gguf.path, note)
    if gguf.architecture != qwen4_exp.ARCHITECTURE:
        raise CheckpointError(
            f"{gguf.path}: architecture {gguf.architecture[:40]!r} has no n-gram table of its own (known: "
            f"{qwen4_exp.ARCHITECTURE}, {deepseek_v41.ARCHITECTURE})"
        )
    if qwen4_exp.TABLE not in gguf.tensors:
        raise CheckpointError(f"{gguf.path}: has no tensor {qwen4_exp.TABLE}; was it split, and a part left out?")
    tensor = gguf.tensors[qwen4_exp.TABLE][1]
    engram = EngramConfig.from_dict(qwen4_exp.block_of_gguf(gguf, *tensor.shape), str(gguf.path))
    stored = gguf_encoding(tensor.kind)
    return TableSpec(gguf.path, gguf.architecture, engram, sizes, stored, None, gguf.path)


def _of_engram_peft(file: Path, config: dict) -> tuple[dict, np.ndarray | None, Path | None]:
    engram_peft.check_settings(config, file)
    x = read_numbers(config, file, engram_peft.INTEGERS, engram_peft.LISTS)
    layers = engram_peft.layer_blocks(x, config, file)
    n_ids = x["compressed_vocab_size"]
    base = next((x for x in engram_peft.named_bases(file.parent, config) if (Path(x) / TOKENIZER).is_file()), None)
    tokenizer = None if base is None else Path(base) / TOKENIZER
    if engram_peft.is_ple(config):
        eos = engram_peft.PLE_EOS
        block = engram_block(max(n_ids, eos + 1), eos, layers, compressed=False, segment_ids=[eos])
        return block, None, tokenizer
    if not config.get("enable_tokenizer_compression", True):
        return engram_block(n_ids, x["pad_id"], layers, compressed=False), None, tokenizer
    if base is None:  # ids are not known: the added tokens among them are beyond the compressed ones
        return engram_block(max(n_ids, x["pad_id"] + 1), x["pad_id"], layers), None, None
    token_map, n = vocabulary_map(Path(base), 0)
    if n != n_ids:
        raise CheckpointError(f"{base}: compresses to {n} ids, {file} says {n_ids}: not its base model")
    return engram_block(int(token_map.max()) + 1, int(token_map[x["pad_id"]]), layers), token_map, tokenizer


def _of_demo(file: Path, config: dict, tokenizer: Path | None) -> tuple[dict, np.ndarray | None]:
    x = read_numbers(config, file, demo.INTEGERS, demo.LISTS)
    token_map = whole_map(file.parent) if tokenizer else None
    n_ids = x["pad_id"] + 1 if token_map is None else int(token_map.max()) + 1
    kernel = config.get("kernel_size")
    shapes = {i: (1, kernel if type(kernel) is int else 4) for i in sorted(x["layer_ids"])}
    fill = x["pad_id"] if token_map is None else int(token_map[x["pad_id"]])
    return engram_block(n_ids, fill, demo.layer_blocks(x, file, n_ids, shapes)), token_map


def _is_demo(config: Any) -> bool:
    return isinstance(config, dict) and "engram_vocab_size" in config and "n_head_per_ngram" in config


def _size(config: dict, key: str) -> int | None:
    value = config.get(key)
    return value if type(value) is int and value > 0 else None
