"""Reader of the demo's layout, TinyEngram's too: Engram layers inside one state dict, under any prefix.

The state dict names neither seed nor tokenizer, so an EngramConfig has to lie beside it: engram_config.json, or a part
of config.json or generation_config.json. Multiplier k meets token t - k; all of the tokenizer's tokens are compressed.
"""

import re
from pathlib import Path

from engram_local.config import MAX_LAG, EngramConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints import draws
from engram_local.tools.checkpoints.blocks import engram_block, layer_block
from engram_local.tools.checkpoints.modules import CONV, DEMO, TABLE, read_layer, read_table
from engram_local.tools.checkpoints.tensors import (
    Tensors,
    backbone_sizes,
    read_json,
    read_numbers,
    residual_streams,
    weight_files,
)
from engram_local.tools.checkpoints.token_maps import whole_map
from engram_local.tools.checkpoints.view import CheckpointView

LAYOUT = "demo"
CONFIG_FILE = "engram_config.json"
CONFIG_FILES = (CONFIG_FILE, "config.json", "generation_config.json")
CONFIG_KEYS = ("engram_cfg", "engram_config", "engram")  # the parts of those files that may hold it
INTEGERS = {"max_ngram_size": 2, "n_embed_per_ngram": 1, "n_head_per_ngram": 1, "pad_id": 0, "seed": 0}
LISTS = {"engram_vocab_size": 1, "layer_ids": 0}


def matches(path: Path) -> bool:
    """Whether `path`, a file or a folder, holds such layers. Raises CheckpointError for a file that cannot be read."""
    return bool(weight_files(path)) and bool(find_layers(Tensors(path)))


def find_layers(tensors: Tensors) -> list[str]:
    """The prefix of each Engram layer, which ends in a dot, in the order of the numbers in them."""
    prefixes = [x.removesuffix(TABLE) for x in tensors.names() if x.endswith(f".{TABLE}") or x == TABLE]
    prefixes = [x for x in prefixes if f"{x}{DEMO.value}.weight" in tensors]
    return sorted(prefixes, key=lambda x: [int(n) for n in re.findall(r"\d+", x)])


def read(path: Path, base: Path | None = None) -> CheckpointView:
    """`base` is the base model's folder, by default `path` itself. Raises CheckpointError."""
    if base is None and not (path / "config.json").is_file():
        raise CheckpointError(f"{path}: is no Hugging Face folder; give the base model's folder as --base")
    base = base or path
    config, file = find_config(path if path.is_dir() else path.parent, base)
    x = read_numbers(config, file, INTEGERS, LISTS)
    layer_ids = x["layer_ids"]
    tensors = Tensors(path)
    prefixes = dict(zip(sorted(layer_ids), find_layers(tensors), strict=False))
    if len(prefixes) != len(layer_ids) or len(prefixes) != len(find_layers(tensors)):
        raise CheckpointError(
            f"{path}: holds the Engram layers {find_layers(tensors)}, {file} says layer_ids {layer_ids}; correct it"
        )
    backbone = backbone_sizes(base)
    if max(prefixes) >= backbone["num_hidden_layers"]:
        raise CheckpointError(f"{file}: layer_ids are {layer_ids}, {base} has {backbone['num_hidden_layers']} blocks")
    token_map = whole_map(base)
    n_ids = int(token_map.max()) + 1
    if x["pad_id"] >= len(token_map):
        raise CheckpointError(f"{file}: pad_id is {x['pad_id']}, {base} has {len(token_map)} tokens; correct it")

    shapes = {
        layer_id: (
            sum(f"{prefix}{DEMO.key.format(m)}.weight" in tensors for m in range(64)),
            tensors.shape(prefix + CONV)[-1],
        )
        for layer_id, prefix in prefixes.items()
    }
    blocks = layer_blocks(x, file, n_ids, shapes)
    engram = EngramConfig.from_dict(
        engram_block(n_ids, int(token_map[x["pad_id"]]), blocks, residual_streams=residual_streams(base)), str(file)
    )
    layers = {
        i.layer_id: read_layer(tensors, prefixes[i.layer_id], DEMO, i, backbone["hidden_size"]) for i in engram.layers
    }
    tables = {i: read_table(tensors, prefixes[i]) for i in layers}
    own = tuple(prefixes.values()) if base == path else ()
    return CheckpointView(LAYOUT, path, base, engram, token_map, layers, tables, prefixes=own)


def layer_blocks(x: dict, file: Path, n_ids: int, shapes: dict[int, tuple[int, int]]) -> list[dict]:
    """Each layer's entry in the "engram" block. x: the numbers of the EngramConfig in `file`; shapes: streams and
    kernel of each layer. Raises CheckpointError."""
    largest, heads = x["max_ngram_size"], x["n_head_per_ngram"]
    orders = list(range(2, largest + 1))
    if len(x["engram_vocab_size"]) < len(orders) or largest > MAX_LAG + 1:
        raise CheckpointError(f"{file}: max_ngram_size {largest} and engram_vocab_size do not fit; correct them")
    primes = draws.head_primes(x["layer_ids"], x["engram_vocab_size"][: len(orders)], heads)
    blocks = []
    for layer_id, (streams, kernel) in shapes.items():
        numbers = draws.multipliers(x["seed"], layer_id, n_ids, largest)
        terms = [[[k, numbers[k]] for k in range(n)] for n in orders]
        head_dim, sizes = x["n_embed_per_ngram"] // heads, primes[layer_id]
        blocks.append(
            layer_block(
                layer_id, streams, head_dim, orders, heads, terms, sizes, draws.offsets(sizes), (kernel, largest)
            )
        )
    return blocks


def find_config(folder: Path, base: Path) -> tuple[dict, Path]:
    """The EngramConfig, and the file that holds it. Raises CheckpointError where there is none."""
    for file in [where / name for where in (folder, base) for name in CONFIG_FILES]:
        if file.is_file():
            whole = read_json(file)
            for config in (whole, *(whole.get(key) for key in CONFIG_KEYS)):
                if isinstance(config, dict) and "engram_vocab_size" in config:
                    return config, file
    keys = ", ".join((*LISTS, *INTEGERS))
    raise CheckpointError(f"{folder / CONFIG_FILE}: no such file, and the tensors do not say {keys}; write them there")
