"""A model folder of random weights: a backbone whose decoding takes about as long as asked, tables of any size.

It answers nonsense, but computes and reads what a trained model of its size does.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from engram_local.commands.bench_table import HEADS, LAYERS, MULTIPLIERS, ORDERS, make_table
from engram_local.config import FORMAT_VERSION, EngramConfig
from engram_local.tables.encodings import row_bytes
from engram_local.tools.compare.random_backbone import VOCAB, make_random_backbone
from engram_local.tools.new_folder import refuse_existing

DIM = 256  # of a row, where nothing else is said


def make_random_model(
    path: Path,
    table_bytes: int,
    hidden: int = 1536,
    n_layers: int = 22,
    weights: str = "int8",
    backbones: tuple[str, ...] = ("onnx",),
    orders: tuple[int, ...] = ORDERS,
    dim: int = DIM,
) -> None:
    """Write the folder: int8 tables of table_bytes together, before two blocks. Needs torch.

    hidden, n_layers: of a Qwen3 (1536 and 22: 0.65 B parameters; 2048 and 28: 1.5 B); orders, dim: of the rows, HEADS
    a layer and order.
    """
    from engram_local.model_folder import write_manifest
    from engram_local.tools.checkpoints.view import CheckpointView, LayerWeights
    from engram_local.tools.export.backbone import load_backbone
    from engram_local.tools.export.folder import write_backbones, write_config

    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "tables").mkdir(parents=True)
    engram = _engram_config(table_bytes // len(LAYERS) // row_bytes("int8", dim), orders, dim)
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
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        base = Path(scratch)
        make_random_backbone(base, hidden, n_layers)
        view = CheckpointView("random", base, base, engram, None, layers, {})
        no_text = np.zeros(0, np.int64)  # random weights have none that they would be rounded for
        write_backbones(view, load_backbone(view), partial, backbones, weights, None, no_text)
        write_config(view, partial)
    for layer in engram.layers:
        make_table(partial / layer.table, layer.n_rows, dim)
    write_manifest(partial, {"weights": weights})
    partial.rename(path)


def run(folder: Path, hidden: int, blocks: int, weights: str, tables: int) -> None:
    """A folder with both backbones and two layers of 16 heads x 128."""
    refuse_existing(folder)
    make_random_model(folder, tables, hidden, blocks, weights, ("onnx", "gguf"), orders=(2, 3), dim=128)
    print(f"{folder}; engram-local bench --compare {folder}")


def _engram_config(n_rows: int, row_orders: tuple[int, ...], dim: int) -> EngramConfig:
    """Two layers of n_rows rows each, all heads alike; raw token ids."""
    n_heads = len(row_orders) * HEADS
    modulus = n_rows // n_heads
    layers = []
    for layer_id in LAYERS:
        orders, head = [], 0
        for order in row_orders:
            terms = [[lag, MULTIPLIERS[lag] + 2 * layer_id] for lag in range(order)]
            offsets = [(head + i) * modulus for i in range(HEADS)]
            orders.append({"order": order, "terms": terms, "moduli": [modulus] * HEADS, "offsets": offsets})
            head += HEADS
        layers.append(
            {
                "layer_id": layer_id,
                "site": "block",
                "streams": 1,
                "head_dim": dim,
                "n_rows": modulus * n_heads,
                "encoding": "int8",
            }
            | {"table": f"tables/layer_{layer_id}.safetensors", "conv": {"kernel": 4, "dilation": 3}, "orders": orders}
        )
    block = {"version": FORMAT_VERSION, "fuse": "gated", "residual_streams": 1, "mix": "xor", "layers": layers}
    block |= {"ids": {"source": "raw", "n_ids": VOCAB, "token_map": None}}
    return EngramConfig.from_dict(block | {"window": {"fill_id": 0, "segment_ids": []}})
