"""A model folder of random weights: a backbone whose decoding takes about as long as asked, tables of any size.

It answers nonsense, but computes and reads what a trained model of its size does.
"""

import shutil
from pathlib import Path

import numpy as np

from engram_local.commands.bench_table import HEADS, LAYERS, MULTIPLIERS, ORDERS, make_table
from engram_local.config import FORMAT_VERSION, EngramConfig
from engram_local.tables.encodings import row_bytes
from engram_local.tools.compare.random_backbone import VOCAB, random_qwen3

DIM = 256  # of a row


def make_random_model(path: Path, table_bytes: int, hidden: int = 1536, n_layers: int = 22) -> None:
    """Write the folder: int8 weights, int8 tables at layers 1 and 14 of table_bytes together. Needs torch."""
    import tokenizers

    from engram_local.model_folder import write_manifest
    from engram_local.tools.checkpoints.view import CheckpointView, LayerWeights
    from engram_local.tools.export.layer import save_layers
    from engram_local.tools.export.onnx import write_backbone_onnx

    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model = random_qwen3(hidden, n_layers, 2048).eval()
    engram = _engram_config(table_bytes // len(LAYERS) // row_bytes("int8", DIM))
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape, np.float32) / np.sqrt(shape[-1])).astype(np.float32)

    layers = {
        x.layer_id: LayerWeights(
            key_proj=weight(hidden, x.row_width),
            value_proj=weight(hidden, x.row_width),
            norm_key=np.ones((1, hidden), np.float32),
            norm_query=np.ones((1, hidden), np.float32),
            gate_eps=1e-6,
            norm_conv=np.ones((1, hidden), np.float32),
            conv_weight=weight(hidden, 1, x.conv.kernel),
            conv_eps=1e-6,
        )
        for x in engram.layers
    }
    view = CheckpointView("random", partial, partial, engram, None, layers, {})
    save_layers(view, partial, "int8")
    write_backbone_onnx(view, model, partial, "int8")
    config = model.config
    config.engram = engram.to_dict()
    config.to_json_file(partial / "config.json", use_diff=False)
    words = {f"w{i}": i for i in range(VOCAB)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(partial / "tokenizer.json"))
    (partial / "tables").mkdir()
    for layer in engram.layers:
        make_table(partial / layer.table, layer.n_rows, DIM)
    write_manifest(partial)
    partial.rename(path)


def _engram_config(n_rows: int) -> EngramConfig:
    """Two layers of n_rows rows each, all heads alike; raw token ids."""
    n_heads = len(ORDERS) * HEADS
    modulus = n_rows // n_heads
    layers = []
    for layer_id in LAYERS:
        orders, head = [], 0
        for order in ORDERS:
            terms = [[lag, MULTIPLIERS[lag] + 2 * layer_id] for lag in range(order)]
            offsets = [(head + i) * modulus for i in range(HEADS)]
            orders.append({"order": order, "terms": terms, "moduli": [modulus] * HEADS, "offsets": offsets})
            head += HEADS
        layers.append(
            {
                "layer_id": layer_id,
                "site": "block",
                "streams": 1,
                "head_dim": DIM,
                "n_rows": modulus * n_heads,
                "encoding": "int8",
            }
            | {"table": f"tables/layer_{layer_id}.safetensors", "conv": {"kernel": 4, "dilation": 3}, "orders": orders}
        )
    block = {"version": FORMAT_VERSION, "fuse": "gated", "residual_streams": 1, "mix": "xor", "layers": layers}
    block |= {"ids": {"source": "raw", "n_ids": VOCAB, "token_map": None}}
    return EngramConfig.from_dict(block | {"window": {"fill_id": 0, "segment_ids": []}})
