"""A Hugging Face model as a model folder without knowledge: one Engram layer whose table and weights are zero."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engram_local.config import FORMAT_VERSION, EngramConfig
from engram_local.errors import CheckpointError
from engram_local.model_folder import write_manifest
from engram_local.tables.file import TableWriter
from engram_local.tools.checkpoints.tensors import read_json
from engram_local.tools.checkpoints.view import CheckpointView, LayerWeights, table_name
from engram_local.tools.export.backbone import load_backbone
from engram_local.tools.export.folder import check_backbones, write_backbones, write_config
from engram_local.tools.new_folder import refuse_existing

ROWS, DIM = 8, 16


def make_plain_model(
    base: Path, out: Path, backbones: Sequence[str], weights: str, tokens: np.ndarray | None = None
) -> None:
    """Write the model folder `out` with the backbones ("onnx", "gguf") of the Hugging Face folder `base`.

    tokens: int64 [n], a text that ONNX's int4 is rounded for; an empty one takes all inputs for alike. Raises
    CheckpointError; `out` is then not there.
    """
    refuse_existing(out)
    config = read_json(base / "config.json")
    d, vocab = (config.get(key) for key in ("hidden_size", "vocab_size"))
    if not isinstance(d, int) or not isinstance(vocab, int):
        raise CheckpointError(f"{base / 'config.json'}: has no hidden_size or no vocab_size; give a language model")
    engram = EngramConfig.from_dict(_engram_block(vocab))
    zeros = np.zeros((d, DIM), np.float32)
    ones = np.ones((1, d), np.float32)
    layers = {0: LayerWeights(zeros, zeros, norm_key=ones, norm_query=ones, gate_eps=1e-6)}
    view = CheckpointView("plain", base, base, engram, None, layers, {})
    check_backbones(view, tuple(backbones))
    model = load_backbone(view) if "onnx" in backbones else None
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "tables").mkdir(parents=True)
    try:
        write_backbones(view, model, partial, tuple(backbones), weights, None, tokens)
        with TableWriter(partial / table_name(0), "float32", ROWS, DIM) as writer:
            writer.append_rows(np.zeros((ROWS, 4 * DIM), np.uint8))
        write_config(view, partial)
        write_manifest(partial, {"weights": weights})
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _engram_block(vocab: int) -> dict:
    order = {"order": 2, "terms": [[0, 1], [1, 3]], "moduli": [ROWS], "offsets": [0]}
    layer = {"layer_id": 0, "site": "block", "streams": 1, "head_dim": DIM, "n_rows": ROWS, "encoding": "float32"}
    layer |= {"table": table_name(0), "conv": None, "orders": [order]}
    ids = {"source": "raw", "n_ids": vocab, "token_map": None}
    block = {"version": FORMAT_VERSION, "fuse": "gated", "residual_streams": 1, "mix": "xor", "ids": ids}
    return block | {"window": {"fill_id": 0, "segment_ids": []}, "layers": [layer]}
