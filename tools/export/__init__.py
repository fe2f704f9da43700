"""Checkpoint -> model folder. The checkpoint is checked before anything is written; the folder gets its name last."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from engram_local import row_codecs
from engram_local.config import ENCODINGS
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.checkpoints.tensors import read_json
from engram_local.tools.checkpoints.view import TOKENIZER_FILES, CheckpointView
from engram_local.tools.export.tables import Progress, convert_table

WEIGHTS = ("float32", "float16", "int8", "int4")
BACKENDS = ("onnx", "gguf", "both")
KEPT_FILES = ("NOTICE", "LICENSE", "LICENSE.txt")  # what others ask to be shipped with their work


def export_model(
    checkpoint,
    out,
    base=None,
    layout: str | None = None,
    backend: str = "onnx",
    tables: str = "int8",
    weights: str = "int8",
    calibrate=None,
    progress: Progress | None = None,
    link: bool = False,
) -> dict:
    """Write the model folder `out` from a trained checkpoint. Returns what the manifest's "export" block holds.

    `base` is the Hugging Face folder of the backbone where the checkpoint does not hold it; `layout` None finds it out.
    `tables` is one of ENCODINGS ("fp8" for fp8_e4m3 too), `weights` one of WEIGHTS, `backend` one of BACKENDS;
    `calibrate` a text file. Raises CheckpointError before anything is written, unless a later block turns out bad; then
    nothing but a folder `out + ".partial"` may be left, which no command takes for a model.
    """
    out = Path(out)
    tables = "fp8_e4m3" if tables == "fp8" else tables
    for value, options, what in (
        (tables, ENCODINGS, "tables"),
        (weights, WEIGHTS, "weights"),
        (backend, BACKENDS, "backend"),
    ):
        if value not in options:
            raise CheckpointError(f"{what} {value!r} is unknown; choose one of {', '.join(options)}")
    if out.exists():
        raise CheckpointError(f"{out}: exists already; choose another folder or remove it")
    started = time.monotonic()
    view = open_checkpoint(Path(checkpoint), base, layout)
    check_tables(view)

    from engram_local.tools.export.backbone import check_family, load_backbone

    check_family(view.base)
    model = load_backbone(view)
    engram = replace(view.engram, layers=tuple(replace(x, encoding=tables) for x in view.engram.layers))
    view = replace(view, engram=engram)
    check_space(out, view, model, tables, weights)

    from engram_local.model_folder import write_manifest
    from engram_local.tools.export.onnx import write_backbone_onnx, write_layers

    partial = out.with_name(out.name + ".partial")
    if partial.exists():  # an export that was interrupted: start over
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    info = {"layout": view.layout, "weights": weights, "tables": {}, "backend": backend}
    for layer in engram.layers:
        source = view.tables[layer.layer_id]
        info["tables"][layer.table] = convert_table(source, partial / layer.table, tables, layer.table, progress)
    write_layers(view, partial, weights)
    if backend != "gguf":
        write_backbone_onnx(view, model, partial, weights)
    write_config(view, partial)
    info["seconds"] = round(time.monotonic() - started, 1)
    write_manifest(partial, info)
    partial.rename(out)
    return info


def check_tables(view: CheckpointView) -> None:
    """Every table has the rows and the width that its config asks for."""
    for layer in view.engram.layers:
        source = view.tables[layer.layer_id]
        if (source.n_rows, source.dim) != (layer.n_rows, layer.head_dim):
            raise CheckpointError(
                f"{view.path}: layer {layer.layer_id}'s table is [{source.n_rows}, {source.dim}], its config asks for "
                f"[{layer.n_rows}, {layer.head_dim}]; the checkpoint and its config do not belong together"
            )


def check_space(out: Path, view: CheckpointView, model, tables: str, weights: str) -> None:
    """Refuse before the start what would fill the disk: the tables' exact size, and the backbone's with a margin."""
    bytes_a_weight = {"float32": 4, "float16": 2, "int8": 1.2, "int4": 0.8}[weights]
    needed = sum(x.n_rows * row_codecs.row_bytes(tables, x.head_dim) for x in view.engram.layers)
    needed += int(bytes_a_weight * sum(p.numel() for p in model.parameters())) + (64 << 20)
    parent = next(p for p in out.absolute().parents if p.exists())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise CheckpointError(
            f"{out}: needs about {needed >> 20} MiB, {parent} has {free >> 20} MiB free; "
            "make room or choose a smaller encoding (--tables, --weights)"
        )


def write_config(view: CheckpointView, folder: Path) -> None:
    """config.json with its "engram" block, the token map, the tokenizer's files and the notices."""
    config = read_json(view.base / "config.json")
    config["engram"] = view.engram.to_dict()
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    if view.token_map is not None:
        write_token_map(folder / view.engram.token_map, view.token_map)
    for name in TOKENIZER_FILES:
        if (view.base / name).is_file():
            shutil.copyfile(view.base / name, folder / name)
    for source in (view.base, view.path):
        for name in KEPT_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)


def write_token_map(path: Path, token_map: np.ndarray) -> None:
    """A safetensors file with one tensor, `token_map` int32 [vocab]."""
    data = token_map.astype("<i4").tobytes()
    tensor = {"dtype": "I32", "shape": [len(token_map)], "data_offsets": [0, len(data)]}
    header = json.dumps({"token_map": tensor}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
