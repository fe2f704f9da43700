"""Makes a published GGUF that has an n-gram table of its own into a model folder of a few KB: nothing is copied.

The table's rows are read where they lie, under this package's reader and RAM limit, and written into the node of
llama.cpp's graph that takes them in (backends/layer_hook.py); token embeddings are read from the file too, so that
llama.cpp never looks into the table.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.backbone_link import write_backbone_link
from engram_local.backends.llama_nodes import NATIVE_ROWS
from engram_local.config import EngramConfig
from engram_local.errors import EngramError, ModelFolderError
from engram_local.graph_names import GGUF_LINK_FILE
from engram_local.model_folder import write_manifest
from engram_local.tables.layout import TableLayout
from engram_local.tables.links import write_link
from engram_local.tables.table import read_layout
from engram_local.tools.checkpoints import deepseek_v41
from engram_local.tools.checkpoints.linked_rows import LinkedRows, find_constants, find_rows
from engram_local.tools.checkpoints.qwen4_exp import CONSTANTS, MODEL_TYPE, TABLE, block_of_gguf
from engram_local.tools.gguf_files import GgufFiles, read_gguf_files
from engram_local.tools.new_folder import new_folder, refuse_existing
from engram_local.tools.place import place


def link(gguf: str | Path, out: str | Path, table: str | Path | None = None) -> dict[str, Any]:
    """Write the model folder `out` around the file or split `gguf` (its first part).

    Parameters: table: what stands in for the GGUF's own, with as many rows of as many values: a table file (cloned or
                hard-linked where the disk allows), a link to one, another GGUF, or the model's Hugging Face folder,
                whose hash constants must be the GGUF's.
    Returns:    what the manifest's "export" block holds.
    Raises:     EngramError; nothing is left behind then.
    """
    out = Path(out)
    refuse_existing(out)
    if Path(gguf).is_dir():
        raise ModelFolderError(
            f"{gguf}: is a folder; link takes a GGUF of the model, and --table a folder for its table"
        )
    source = read_gguf_files(gguf)
    if source.architecture == deepseek_v41.ARCHITECTURE:
        raise ModelFolderError(
            f"{gguf}: DeepSeek-V4.1 cannot run yet, for {deepseek_v41.NO_BACKBONE}; engram-local inspect shows its "
            "tables and, with --rows, which rows a text reads"
        )
    if source.architecture not in NATIVE_ROWS:
        raise ModelFolderError(
            f"{gguf}: architecture {source.architecture[:40]!r} has no n-gram table of its own (known: "
            f"{', '.join(NATIVE_ROWS)}); to add Engram layers to it use engram-local attach"
        )
    if TABLE not in source.tensors:
        raise ModelFolderError(f"{gguf}: has no tensor {TABLE}; was it split, and a part left out?")
    with new_folder(out, {"link": str(gguf), "table": str(table)}) as folder:
        path = folder.path
        (path / "tables").mkdir(exist_ok=True)
        name = _place_table(path, source.tensors[TABLE][0], table)
        layout = read_layout(path / name)
        config = _config(source, layout, name)
        if table is not None and Path(table).is_dir():
            _compare_constants(source, Path(table))
        (path / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        write_backbone_link(path / GGUF_LINK_FILE, list(source.files))
        info = {"backend": "gguf", "gguf": [str(x) for x in source.files], "table": {"encoding": layout.encoding}}
        write_manifest(path, info)
        _try(path)
    return info


def _place_table(folder: Path, gguf: Path, table: str | Path | None) -> str:
    """Link the table into the folder; returns its name there."""
    name = "tables/table.link.json"
    if table is None or Path(table).is_dir() or Path(table).suffix in (".json", ".gguf"):
        rows = LinkedRows([(str(gguf), TABLE)]) if table is None else find_rows(table)
        write_link(folder / name, rows.parts, rows.scales, rows.scale)
    else:
        name = "tables/table.safetensors"
        place(Path(table), folder / name)
    return name


def _compare_constants(gguf: GgufFiles, folder: Path) -> None:
    """ModelFolderError where the Hugging Face checkpoint in `folder` hashes otherwise: every row would be wrong."""
    for name, values in find_constants(folder).items():
        key = CONSTANTS[name]
        if values != gguf.get(key):
            raise ModelFolderError(
                f"{folder}: its {name} are {_short(values)}, {gguf.path} has {_short(gguf.get(key))}: not the same "
                "model, so every row would be wrong; give the folder that the GGUF was made of"
            )


def _short(numbers: list[int]) -> str:
    return f"{str(numbers[:3])[:-1]}, ...]" if len(numbers) > 3 else str(numbers)


def _config(gguf: GgufFiles, layout: TableLayout, table: str) -> dict[str, Any]:
    """config.json: the backbone's own numbers, and the hash that the GGUF's ple.* keys describe."""
    engram = block_of_gguf(gguf, layout.n_rows, layout.dim)
    engram["fuse"] = "native"
    engram["layers"][0] |= {"encoding": layout.encoding, "table": table}
    EngramConfig.from_dict(engram, str(gguf.path))
    return {
        "model_type": MODEL_TYPE,
        "vocab_size": gguf.n_tokens,
        "hidden_size": gguf.get("embedding_length"),
        "num_hidden_layers": gguf.get("block_count"),
        "num_attention_heads": gguf.get("attention.head_count"),
        "max_position_embeddings": gguf.get("context_length"),
        "engram": engram,
    }


def _try(folder: Path) -> None:
    """Evaluate one token: the graph has the node, of the right size, and every file can be read."""
    from engram_local.model import load

    with load(folder, backend="gguf", threads=1, context_length=64) as model:
        logits = model.session().forward([model.config.fill_id])
    if not np.isfinite(logits).all():
        raise EngramError(f"{folder}: computes {logits.ravel()[:3]} for one token; the files do not belong together")
