"""Checkpoint -> model folder. The checkpoint is checked before anything is written; the folder gets its name last."""

import json
import logging
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from engram_local.config import ENCODINGS
from engram_local.errors import CheckpointError
from engram_local.graph_names import GGUF_FILE, ONNX_FILE
from engram_local.model_folder import save_manifest, write_manifest
from engram_local.progress import Progress
from engram_local.tables import encodings
from engram_local.tables.links import write_link
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.checkpoints.tensors import Tensors, read_json
from engram_local.tools.checkpoints.view import KEPT_FILES, TOKENIZER_FILES, CheckpointView
from engram_local.tools.export.base import check_base
from engram_local.tools.export.tables import convert_table
from engram_local.tools.new_folder import NewFolder, check_space, new_folder, refuse_existing

WEIGHTS = ("float32", "float16", "int8", "int4")
BACKENDS = ("onnx", "gguf", "both")
VIAS = ("builder", "torch")


def export_model(
    checkpoint: str | Path,
    out: str | Path,
    base: str | Path | None = None,
    layout: str | None = None,
    backend: str = "onnx",
    tables: str = "int8",
    weights: str = "int8",
    calibrate: str | Path | None = None,
    progress: Progress | None = None,
    link: bool | str | Path = False,
    via: str = "builder",
) -> dict:
    """Write the model folder `out` from a trained checkpoint. Returns what the manifest's "export" block holds.

    Parameters: base: the Hugging Face folder of the backbone where the checkpoint does not hold it; layout: None finds
                it out; tables: one of ENCODINGS ("fp8" for fp8_e4m3 too); weights: one of WEIGHTS; backend: one of
                BACKENDS; calibrate: a text file, on which the tables' encoding is compared with the checkpoint's rows
                (calibration.py), and which ONNX's int4 weights are rounded for; link: True where the tables stay
                where they are, and `tables` means nothing; or where the rows lie of an adapter that does not hold them
                (a link, a GGUF, a Hugging Face folder), which always stay there; via: one of VIAS, who writes
                backbone.onnx: onnxruntime-genai's builder for families that it knows, or transformers' exporter
                (via_torch.py) for any decoder whose attention it recognises.
    Raises:     EngramError before anything is written, unless a later row turns out bad or the disk fails; `out` is
                then not there. A run that was interrupted goes on with the tables that it had finished.
    """
    out = Path(out)
    tables = "fp8_e4m3" if tables == "fp8" else tables
    for value, options, what in (
        (tables, ENCODINGS, "tables"),
        (weights, WEIGHTS, "weights"),
        (backend, BACKENDS, "backend"),
        (via, VIAS, "via"),
    ):
        if value not in options:
            raise CheckpointError(f"{what} {value!r} is unknown; choose one of {', '.join(options)}")
    refuse_existing(out)
    backbones = ("onnx", "gguf") if backend == "both" else (backend,)
    view = open_checkpoint(Path(checkpoint), base, layout, None if isinstance(link, bool) else link)
    link = bool(link) or is_foreign(view)
    if link and calibrate is not None:
        raise CheckpointError("linked tables lose nothing, so there is nothing to calibrate; leave one of the two out")
    check_tables(view)
    check_backbones(view, backbones, via)
    check_base(view.base, view.prefixes, set(view.overrides))
    if link:
        check_links(view)
    else:
        layers = tuple(replace(x, encoding=tables) for x in view.engram.layers)
        view = replace(view, engram=replace(view.engram, layers=layers))
    tokens = None
    if calibrate is not None:
        from engram_local.tools.calibration import calibrate as run_calibration
        from engram_local.tools.calibration import read_tokens

        tokens = read_tokens(view.base, calibrate)
    model = _load_model(view, backbones)
    check_space(
        out,
        (0 if link else table_bytes(view)) + backbone_bytes(view, backbones, weights),
        "make room, or choose smaller encodings (--tables, --weights)",
    )

    info = {"layout": view.layout, "backend": backend, "weights": weights}
    with new_folder(
        out, {"command": "export", "source": _identity(view.path), "engram": view.engram.to_dict()}
    ) as folder:
        if link:
            view, info["tables"] = link_tables(view, folder.path)
        without = write_backbones(view, model, folder.path, backbones, weights, progress, tokens, via)
        if without is not None:
            info["gguf_vocabulary"] = f"left out: {without}"
        model = None  # its memory is the tables' now
        if not link:
            info["tables"] = write_tables(view, folder, progress)
        write_config(view, folder.path)
        manifest = write_manifest(folder.path, info, progress)
        if tokens is not None:
            name = Path(calibrate).name
            info["calibration"] = run_calibration(folder.path, view.tables, tokens, name, progress)
            save_manifest(folder.path, manifest | {"export": info})
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


def check_backbones(view: CheckpointView, backbones: tuple[str, ...], via: str = "builder") -> None:
    """Every backbone asked for can be made of this family. Raises CheckpointError."""
    if "onnx" in backbones and via == "builder":
        from engram_local.tools.export.backbone import check_family

        check_family(view.base)
    if "gguf" in backbones:
        from engram_local.backends.llama_nodes import check_entries
        from engram_local.tools.export.gguf_families import find_family

        config = read_json(view.base / "config.json")
        arch, layer_ids = find_family(config, view.base).arch, [x.layer_id for x in view.engram.layers]
        check_entries(view.base, arch, layer_ids, config.get("hidden_size_per_layer_input") or 0)


def is_foreign(view: CheckpointView) -> bool:
    """Whether the checkpoint's tables lie in files of others."""
    return any(x.is_foreign for x in view.tables.values())


def check_links(view: CheckpointView) -> None:
    """Every table lies in tensors of safetensors or GGUF files. Raises CheckpointError."""
    for layer_id, source in view.tables.items():
        if not source.parts:
            raise CheckpointError(
                f"{view.path}: layer {layer_id}'s table lies in no safetensors or GGUF file, so it cannot be read in "
                "place; leave --link out"
            )


def table_bytes(view: CheckpointView) -> int:
    """Bytes of the rows of all tables in their encodings."""
    return sum(x.n_rows * encodings.row_bytes(x.encoding, x.head_dim) for x in view.engram.layers)


def backbone_bytes(view: CheckpointView, backbones: tuple[str, ...], weights: str) -> int:
    """About what the backbones take on disk while they are made."""
    tensors = Tensors(view.base)
    n_weights = sum(math.prod(tensors.shape(x)) for x in tensors.names() if not x.startswith(view.prefixes))
    n_weights += 2 * sum(x.n_values for x in view.layers.values())  # in a file of their own too
    a_weight = {"float32": 4, "float16": 2, "int8": 1.2, "int4": 0.8}[weights]
    total = 0
    if "onnx" in backbones:
        total += a_weight
    if "gguf" in backbones:  # quantized types are written as float16 first
        total += a_weight + (2 if weights in ("int8", "int4") else 0) + (0 if view.lora is None else 4)
    return int(total * n_weights) + (32 << 20)  # and the tokenizer


def _load_model(view: CheckpointView, backbones: tuple[str, ...]):
    """The torch model, where something needs it: the ONNX builder, or peft's merge."""
    if "onnx" not in backbones and view.lora is None:
        return None
    from engram_local.tools.export.backbone import load_backbone

    return load_backbone(view)


def write_backbones(
    view: CheckpointView,
    model: Any,
    folder: Path,
    backbones: tuple[str, ...],
    weights: str,
    progress: Progress | None,
    tokens: np.ndarray | None = None,
    via: str = "builder",
) -> str | None:
    """Write engram_layer_{id}.onnx, and the backbones asked for. `tokens` int64 [n] is a text that ONNX's int4 is
    rounded for, None one that the model writes. Returns why backbone.gguf has no vocabulary, None where it has one or
    is not there."""
    from engram_local.tools.export.layer import save_layers

    def say(what: str) -> None:
        if progress:
            progress(what, 0, 0)

    save_layers(view, folder, weights)
    if "onnx" in backbones:
        from engram_local.tools.export.onnx import write_backbone_onnx

        say("backbone.onnx")
        write_backbone_onnx(view, model, folder, weights, tokens, via)
    if "gguf" in backbones:
        from engram_local.tools.export.gguf import write_backbone_gguf

        say(GGUF_FILE)
        logging.getLogger("gguf").setLevel(logging.WARNING)  # the ONNX builder has the root logger say everything
        with _merged(view, model, folder) as base:
            return write_backbone_gguf(
                base, folder / GGUF_FILE, weights, overrides=view.overrides, prefixes=view.prefixes
            )
    return None


@contextmanager
def _merged(view: CheckpointView, model, folder: Path) -> Iterator[Path]:
    """The base's folder, or one with the merged model where the checkpoint has a LoRA adapter; gone at the end."""
    if view.lora is None:
        yield view.base
        return
    with TemporaryDirectory(suffix=".partial", dir=folder) as scratch:
        base = Path(scratch) / view.base.resolve().name
        model.save_pretrained(base)  # tensors get the names that they have in checkpoints
        for name in TOKENIZER_FILES:
            if (view.base / name).is_file():
                shutil.copyfile(view.base / name, base / name)
        config = read_json(view.base / "config.json") | {"tie_word_embeddings": model.config.tie_word_embeddings}
        (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
        yield base


def write_tables(view: CheckpointView, folder: NewFolder, progress: Progress | None) -> dict:
    """Convert the tables that `folder` does not hold yet. Returns {table: report}."""
    for layer in view.engram.layers:
        if layer.table not in folder.finished:
            source = view.tables[layer.layer_id]
            report = convert_table(source, folder.path / layer.table, layer.encoding, layer.table, progress)
            folder.finish(layer.table, report)
    return folder.finished


def link_tables(view: CheckpointView, folder: Path) -> tuple[CheckpointView, dict]:
    """Write a link file for each table. Returns the view with their names and encodings, and {table: report}."""
    layers, reports = [], {}
    (folder / "tables").mkdir(exist_ok=True)
    for layer in view.engram.layers:
        source = view.tables[layer.layer_id]
        name = f"tables/layer_{layer.layer_id}.link.json"
        layout = write_link(folder / name, source.parts, source.scales, source.scale)
        if (layout.n_rows, layout.dim) != (layer.n_rows, layer.head_dim):
            raise CheckpointError(f"{view.path}: layer {layer.layer_id}'s tensors make [{layout.n_rows}, {layout.dim}]")
        layers.append(replace(layer, table=name, encoding=layout.encoding))
        linked = sorted({Path(file).name for file, _ in source.parts})
        reports[name] = {"encoding": layout.encoding, "rows": layout.n_rows, "linked": linked}
    return replace(view, engram=replace(view.engram, layers=tuple(layers))), reports


def _identity(path: Path) -> list:
    """What tells a checkpoint from another, and from itself after a change: its files' names, sizes and times."""
    files = [path] if path.is_file() else sorted(x for x in path.iterdir() if x.is_file())
    return [[str(x.resolve()), x.stat().st_size, x.stat().st_mtime_ns] for x in files]


def text_part(config: dict) -> dict:
    """What a config.json says of the language model, where it is one of several inside."""
    text = config.get("text_config")
    if not isinstance(text, dict):
        return config
    outer = {
        key: config[key] for key in ("eos_token_id", "bos_token_id", "pad_token_id") if config.get(key) is not None
    }
    return outer | {key: value for key, value in text.items() if value is not None}


def write_config(view: CheckpointView, folder: Path) -> None:
    """config.json with its "engram" block, the token map, the tokenizer's files and the notices."""
    config = text_part(read_json(view.base / "config.json"))
    config["engram"] = view.engram.to_dict()
    if (folder / ONNX_FILE).is_file():
        from engram_local.tools.export.backbone import context_length

        config["max_position_embeddings"] = context_length(view.base)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    if view.token_map is not None:
        from safetensors.numpy import save  # save_file would keep everybody but the owner from reading it

        (folder / view.engram.token_map).write_bytes(save({"token_map": view.token_map.astype(np.int32)}))
    for name in TOKENIZER_FILES:
        if (view.base / name).is_file():
            shutil.copyfile(view.base / name, folder / name)
    for source in (view.base, view.path):
        for name in KEPT_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
