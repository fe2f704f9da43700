"""Makes a published GGUF that has an n-gram table of its own into a model folder of a few KB: nothing is copied.

The table's rows are read where they lie, under this package's reader and RAM limit, and written into the node of
llama.cpp's graph that takes them in (backends/layer_hook.py); token embeddings are read from the file too, so that
llama.cpp never looks into the table.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.backbone_link import write_backbone_link
from engram_local.backends.llama_nodes import NATIVE_ROWS
from engram_local.config import EngramConfig
from engram_local.errors import EngramError, ModelFolderError
from engram_local.graph_names import GGUF_LINK_FILE
from engram_local.model_folder import write_manifest
from engram_local.tables.gguf_header import DAMAGE, GgufHeader, read_gguf_header
from engram_local.tables.headers import LfsPointerError, refuse_lfs_pointer
from engram_local.tables.links import write_link
from engram_local.tables.table import read_layout
from engram_local.tools.attach import place
from engram_local.tools.new_folder import new_folder, refuse_existing

TABLE = "per_layer_token_embd.weight"
PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


def link(gguf: str | Path, out: str | Path, table: str | Path | None = None) -> dict[str, Any]:
    """Write the model folder `out` around the file or split `gguf` (its first part).

    Parameters: table: a table file (cloned or hard-linked where the disk allows), or a link to one, that stands in for
                the GGUF's own: as many rows of as many values.
    Returns:    what the manifest's "export" block holds.
    Raises:     EngramError; nothing is left behind then.
    """
    gguf, out = Path(gguf), Path(out)
    refuse_existing(out)
    files = parts_of(gguf)
    headers = [_header(x) for x in files]
    values = {key: value for header in headers for key, value in header.values.items()}
    architecture = values.get("general.architecture")
    if architecture not in NATIVE_ROWS:
        raise ModelFolderError(
            f"{gguf}: architecture {str(architecture)[:40]!r} has no n-gram table of its own (known: "
            f"{', '.join(NATIVE_ROWS)}); to add Engram layers to it use engram-local attach"
        )
    place = next((x for x, header in zip(files, headers, strict=True) if TABLE in header.tensors), None)
    if place is None:
        raise ModelFolderError(f"{gguf}: has no tensor {TABLE}; was it split, and a part left out?")
    with new_folder(out, {"link": str(gguf), "table": str(table)}) as folder:
        path = folder.path
        (path / "tables").mkdir(exist_ok=True)
        name = _place_table(path, place, table)
        layout = read_layout(path / name)
        counts = {key: n for header in headers for key, n in header.counts.items()}
        keys = {k.removeprefix(f"{architecture}."): v for k, v in values.items()}
        n_tokens = counts.get("tokenizer.ggml.tokens") or _tensor_rows(headers, "token_embd.weight")
        config = _config(gguf, keys, n_tokens, layout.n_rows, layout.dim, layout.encoding, name)
        (path / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        write_backbone_link(path / GGUF_LINK_FILE, files)
        info = {"backend": "gguf", "gguf": [str(x) for x in files], "table": {"encoding": layout.encoding}}
        write_manifest(path, info)
        _try(path)
    return info


def parts_of(gguf: Path) -> list[Path]:
    """The file, or all parts of the split that it is the first of. Raises ModelFolderError where one is missing."""
    count = _header(gguf).values.get("split.count", 1)
    if count <= 1:
        return [gguf]
    match = PART.fullmatch(gguf.name)
    if match is None or int(match[3]) != count:
        raise ModelFolderError(f"{gguf}: is one of {count} parts, but not named -00001-of-{count:05}.gguf; rename them")
    files = [gguf.with_name(f"{match[1]}-{i + 1:05}-of-{count:05}.gguf") for i in range(count)]
    for i, file in enumerate(files):
        if not file.is_file():
            raise ModelFolderError(f"{file}: part {i + 1} of {count} is missing; fetch it")
        found = _header(file).values
        if (found.get("split.no"), found.get("split.count")) != (i, count):
            raise ModelFolderError(f"{file}: is not part {i + 1} of {count}; fetch it again")
    return files


def _header(path: Path) -> GgufHeader:
    wanted = re.compile(r"general\.architecture|split\..*|[^.]+\.(ple\..*|[a-z_]+|attention\.[a-z_]+)").fullmatch
    try:
        with open(path, "rb") as file:
            refuse_lfs_pointer(file)
            return read_gguf_header(file, lambda key: wanted(key) is not None)
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read ({error.strerror or error})") from error
    except LfsPointerError as error:
        raise ModelFolderError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise ModelFolderError(f"{path}: is no GGUF, or its header is damaged ({str(error)[:160]})") from error


def _tensor_rows(headers: list[GgufHeader], name: str) -> int:
    return next((x.tensors[name].shape[0] for x in headers if name in x.tensors), 0)


def _place_table(folder: Path, gguf: Path, table: str | Path | None) -> str:
    """Link the table into the folder; returns its name there."""
    name = "tables/table.link.json"
    if table is None:
        write_link(folder / name, [(str(gguf), TABLE)])
    elif str(table).endswith(".link.json"):
        block = json.loads(Path(table).read_text(encoding="utf-8"))
        rows, scales = (
            [(str((Path(table).parent / x["file"]).resolve()), x["tensor"]) for x in block.get(key, [])]
            for key in ("rows", "scales")
        )
        write_link(folder / name, rows, scales or None)
    else:
        name = "tables/table.safetensors"
        place(Path(table), folder / name)
    return name


def _config(
    gguf: Path, keys: dict[str, Any], n_tokens: int, n_rows: int, dim: int, encoding: str, table: str
) -> dict[str, Any]:
    """config.json: the backbone's own numbers, and the hash that the GGUF's ple.* keys describe."""

    def get(key: str) -> Any:
        if key not in keys:
            raise ModelFolderError(f"{gguf}: has no key {key}; it was made without its n-gram layer, or by other tools")
        return keys[key]

    layers, size, n_heads = get("ple.layers"), get("ple.ngram_size"), get("ple.heads_per_ngram")
    if len(layers) != 1:
        raise ModelFolderError(f"{gguf}: has n-gram layers {layers[:8]}; one is known here")
    multipliers, moduli, offsets = (get(f"ple.{x}") for x in ("layer_multipliers", "head_vocab_sizes", "head_offsets"))
    eos = get("ple.eos_token_id")
    if len(multipliers) < size or len(moduli) != (size - 1) * n_heads or len(moduli) != len(offsets):
        raise ModelFolderError(f"{gguf}: its ple.* keys contradict each other ({len(moduli)} heads, n-grams to {size})")
    if n_rows < sum(moduli):
        raise ModelFolderError(f"{gguf}: its table has {n_rows} rows, its heads need {sum(moduli)}; fetch it again")
    if dim != get("embedding_length_per_layer_input"):
        raise ModelFolderError(
            f"{gguf}: takes rows of {get('embedding_length_per_layer_input')} values, the table's have {dim}"
        )
    orders = [
        {
            "order": order,
            "terms": [[lag, multipliers[lag]] for lag in range(order)],
            "moduli": moduli[(order - 2) * n_heads : (order - 1) * n_heads],
            "offsets": offsets[(order - 2) * n_heads : (order - 1) * n_heads],
        }
        for order in range(2, size + 1)
    ]
    layer = {"layer_id": layers[0], "site": "block", "streams": 1, "head_dim": dim, "n_rows": n_rows}
    layer |= {"padding_rows": n_rows - sum(moduli), "encoding": encoding, "table": table, "conv": None}
    engram = {
        "version": 2,
        "fuse": "native",
        "residual_streams": 1,
        "ids": {"source": "raw", "n_ids": n_tokens, "token_map": None},
        "window": {"fill_id": eos, "segment_ids": [eos]},
        "mix": "xor",
        "layers": [layer | {"orders": orders}],
    }
    EngramConfig.from_dict(engram, str(gguf))
    return {
        "model_type": "qwen4_exp",
        "vocab_size": n_tokens,
        "hidden_size": get("embedding_length"),
        "num_hidden_layers": get("block_count"),
        "num_attention_heads": get("attention.head_count"),
        "max_position_embeddings": get("context_length"),
        "engram": engram,
    }


def _try(folder: Path) -> None:
    """Evaluate one token: the graph has the node, of the right size, and every file can be read."""
    from engram_local.model import load

    with load(folder, backend="gguf", threads=1, context_length=64) as model:
        logits = model.session().forward([model.config.fill_id])
    if not np.isfinite(logits).all():
        raise EngramError(f"{folder}: computes {logits.ravel()[:3]} for one token; the files do not belong together")
