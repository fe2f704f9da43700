"""Reader of what tools/train writes: a Hugging Face folder with `engram.*` tensors, an "engram" block in config.json.

The block holds multipliers, primes and offsets of each layer; multiplier k meets token t - k. A kernel_size of 0 stands
for layers without a convolution.
"""

from pathlib import Path

import numpy as np

from engram_local.config import EngramConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.blocks import engram_block, layer_block
from engram_local.tools.checkpoints.tensors import Tensors, backbone_sizes, read_json
from engram_local.tools.checkpoints.view import CheckpointView, LayerWeights

LAYOUT = "trained"


def matches(path: Path) -> bool:
    """Whether `path` is such a folder."""
    config = path / "config.json"
    return config.is_file() and isinstance(read_json(config).get("engram"), dict)


def read(path: Path, base: Path | None = None) -> CheckpointView:
    """`base` replaces the folder's own backbone. Raises CheckpointError."""
    config = read_json(path / "config.json")
    block = config.get("engram")
    if not isinstance(block, dict):
        raise CheckpointError(f'{path / "config.json"}: has no "engram" block; this is another layout')
    try:
        d, streams, heads = int(config["hidden_size"]), int(block["hc_mult"]), int(block["n_heads"])
        orders, kernel = [int(n) for n in block["ngram_sizes"]], int(block["kernel_size"])
        layer_blocks = []
        for layer_id in sorted(int(i) for i in block["layer_ids"]):
            numbers = block["layers"][str(layer_id)]
            terms = [[[k, int(numbers["multipliers"][k])] for k in range(n)] for n in orders]
            layer_blocks.append(
                layer_block(
                    layer_id, streams, int(block["head_dim"]), orders, heads, terms,
                    [int(p) for p in numbers["primes"]], [int(o) for o in numbers["offsets"]],
                    (kernel, int(block["dilation"])) if kernel else None,
                )
            )  # fmt: skip
        n_ids, pad_id, eps = int(block["compressed_vocab_size"]), int(block["pad_id"]), float(block["norm_eps"])
    except (KeyError, TypeError, ValueError, IndexError) as e:
        raise CheckpointError(f"{path / 'config.json'}: engram block lacks or garbles {e}; write it again") from e
    engram = EngramConfig.from_dict(engram_block(n_ids, pad_id, layer_blocks), str(path / "config.json"))

    tensors = Tensors(path, "engram.")
    token_map = tensors.numpy("token_map").astype(np.int32)
    sizes = backbone_sizes(base or path)
    if token_map.shape != (sizes["vocab_size"],) or int(token_map.min()) < 0 or int(token_map.max()) != n_ids - 1:
        raise CheckpointError(
            f"{path}: engram.token_map {list(token_map.shape)} maps to {int(token_map.max()) + 1} ids; the config says "
            f"{n_ids} ids and {sizes['vocab_size']} tokens: they do not belong together"
        )
    if sizes["hidden_size"] != d or engram.layers[-1].layer_id >= sizes["num_hidden_layers"]:
        raise CheckpointError(f"{base or path}: has other sizes than {path} was trained with; give its own base model")
    layers, tables = {}, {}
    for layer in engram.layers:
        p = f"{layer.layer_id}."
        layers[layer.layer_id] = LayerWeights(
            key_proj=tensors.numpy(p + "key_proj.weight"),
            value_proj=tensors.numpy(p + "value_proj.weight"),
            norm_key=tensors.numpy(p + "norm_key.weight").reshape(streams, -1),
            norm_query=tensors.numpy(p + "norm_query.weight").reshape(streams, -1),
            gate_eps=eps,
            norm_conv=tensors.numpy(p + "norm_conv.weight").reshape(streams, -1) if kernel else None,
            conv_weight=tensors.numpy(p + "conv.weight") if kernel else None,
            conv_eps=eps,
        )
        layers[layer.layer_id].check(f"{path}: engram.{layer.layer_id}", d, streams, layer.row_width, kernel)
        tables[layer.layer_id] = tensors.rows(p + "table.weight")
    return CheckpointView(LAYOUT, path, base or path, engram, token_map, layers, tables)
