"""engram-local inspect: what a model folder holds, what it needs in memory, which rows a text reads.

Loads no weights and maps no table, but for --gate.
"""

from pathlib import Path

import numpy as np

from engram_local.commands.terminal import Result, show
from engram_local.config import LayerConfig
from engram_local.end_tokens import end_tokens
from engram_local.errors import EngramError
from engram_local.foreign_text import cleaned
from engram_local.hashing import NgramHasher
from engram_local.model_folder import MANIFEST, POCKET, ModelFolder
from engram_local.sizes import format_size
from engram_local.tables.page_cache import table_share
from engram_local.tables.table import read_layout
from engram_local.tokenization import Tokenizer, open_tokenizer


def is_published(path: str) -> bool:
    """Whether `path` is somebody's config, GGUF or folder of a model, and no model folder."""
    if (Path(path) / MANIFEST).is_file():
        return False
    if Path(path).is_dir():
        found = next((x for x in ("config.json", "engram_config.json") if (Path(path) / x).is_file()), None)
        return found is not None and not (Path(path) / "tables").is_dir()
    return Path(path).suffix in (".json", ".gguf")


def describe(folder: ModelFolder, slots: int = 4) -> dict:
    """Everything `inspect --json` prints, for a server of `slots`; sizes in bytes, None where config.json does not
    say."""
    config, files = folder.config, folder.manifest["files"]
    layers = [_describe_layer(folder, layer) for layer in folder.engram.layers]
    tables = sum(x["bytes_on_disk"] for x in layers)
    total = sum(x["bytes"] for x in files.values())
    backbones = {
        name: sum(x["bytes"] for file, x in files.items() if file.startswith(f"backbone.{name}"))
        if name == "onnx"
        else sum(x.stat().st_size for x in folder.gguf_files())
        for name, has in (("onnx", folder.has_onnx), ("gguf", folder.has_gguf))
        if has
    }
    per_token = context_bytes_per_token(folder, "onnx" if folder.has_onnx else "gguf")
    try:
        tokenizer = open_tokenizer(folder)
    except EngramError:
        tokenizer = None
    return {
        "model": str(folder.path),
        "created_by": folder.manifest.get("created_by"),
        "family": config.get("model_type"),
        "n_layers": config.get("num_hidden_layers"),
        "hidden_size": config.get("hidden_size"),
        "vocab_size": folder.vocab_size,
        "context_length": folder.context_length,
        "context_ends": _context_ends(folder),
        "chat_limit": tokenizer.max_length if tokenizer else None,
        "end_tokens": _end_tokens(folder, tokenizer),
        "backbones": backbones,
        "export": folder.manifest.get("export", {}),
        "engram": {
            "id_source": folder.engram.id_source,
            "n_ids": folder.engram.n_ids,
            "mix": folder.engram.mix,
            "rows_per_token": sum(x.n_heads for x in folder.engram.layers),
            "layers": layers,
        },
        "bytes_on_disk": {
            "all": total,
            "tables": tables,
            **{f"backbone.{k}": v for k, v in backbones.items()},
        },
        "bytes_in_ram": {
            "weights": {k: v - (_lent(folder) if k == "gguf" else 0) for k, v in backbones.items()},
            "context_per_token": per_token,
            "context_full": None if per_token is None else per_token * folder.context_length,
            "slots": slots,
            "context_slots": None if per_token is None else per_token * folder.context_length * slots,
            "tables_resident": tables,
            "tables_cold": 0,
        },
    }


def _lent(folder: ModelFolder) -> int:
    """Bytes of the GGUF that are tables, which it never brings into memory."""
    files = {str(x.resolve()) for x in folder.gguf_files()} if folder.engram.fuse == "native" else set()
    layouts = [read_layout(folder.file(x.table)) for x in folder.engram.layers]
    return sum(x.data_bytes for x in layouts if {str(Path(f).resolve()) for f in x.files} <= files)


def _describe_layer(folder: ModelFolder, layer: LayerConfig) -> dict:
    layout = read_layout(folder.file(layer.table))
    return {
        "layer_id": layer.layer_id,
        "orders": [{"order": o.order, "heads": len(o.moduli), "rows": sum(o.moduli)} for o in layer.orders],
        "heads": layer.n_heads,
        "head_dim": layer.head_dim,
        "rows": layer.n_rows,
        "encoding": layer.encoding,
        "row_bytes": layout.row_bytes,
        "bytes_per_token": layer.n_heads * layout.row_bytes,
        "streams": layer.streams,
        "conv": None if layer.conv is None else {"kernel": layer.conv.kernel, "dilation": layer.conv.dilation},
        "bytes_on_disk": layout.data_bytes,
    }


def _end_tokens(folder: ModelFolder, tokenizer: Tokenizer | None) -> list[dict]:
    """What ends an answer, and which files say so; those of a tokenizer that cannot be opened are missing."""
    try:
        found = end_tokens(folder, tokenizer, _of_backbone(folder)) if tokenizer else None
    except EngramError:
        found = None
    if tokenizer is None or found is None:
        return [{"id": i, "token": None, "from": ["config"]} for i in sorted(folder.eos_ids())]
    return [
        {"id": i, "token": tokenizer.decode([i], False) if 0 <= i < tokenizer.vocab_size else None, "from": names}
        for i, names in sorted(found.items())
    ]


def _of_backbone(folder: ModelFolder) -> list[int]:
    if folder.has_onnx or not folder.has_gguf:
        return []
    from engram_local.backends.gguf_tokenizer import read_end_ids

    return read_end_ids(folder.gguf_files())


def context_bytes_per_token(folder: ModelFolder, backend: str) -> int | None:
    """Memory that a token of a context takes, None where config.json does not say: keys and values of all blocks, and
    the convolutions' inputs."""
    config = folder.config
    kv = _kv_bytes_per_token(config, 4 if backend == "onnx" else 2)
    conv = 4 * sum(x.streams for x in folder.engram.layers if x.conv) * (_size(config, "hidden_size") or 0)
    return None if kv is None else kv + conv


def _kv_bytes_per_token(config: dict, n_bytes: int) -> int | None:
    """Keys and values of all blocks, `n_bytes` each: float32 in ONNX Runtime, float16 in llama.cpp."""
    blocks, heads = _size(config, "num_hidden_layers"), _size(config, "num_attention_heads")
    kv_heads, hidden = _size(config, "num_key_value_heads") or heads, _size(config, "hidden_size")
    head_dim = _size(config, "head_dim") or (hidden // heads if hidden and heads else None)
    return 2 * n_bytes * blocks * kv_heads * head_dim if blocks and kv_heads and head_dim else None


def _size(config: dict, key: str) -> int | None:
    """A number of config.json, None where it is no size."""
    value = config.get(key)
    return value if type(value) is int and 0 < value < 2**31 else None


def in_page_cache(folder: ModelFolder) -> dict[str, dict]:
    """{table: {"share": of its bytes that are in the page cache now, "by": how that was found}}."""
    found = {x.table: table_share(read_layout(folder.file(x.table))) for x in folder.engram.layers}
    return {table: {"share": share, "by": by} for table, (share, by) in found.items()}


def _context_ends(folder: ModelFolder) -> str | None:
    """Why the context is shorter than the model was trained for, where tools/export cut it."""
    rope = folder.config.get("rope_parameters") or folder.config.get("rope_scaling")
    kind = rope.get("rope_type", rope.get("type")) if isinstance(rope, dict) else None
    if kind not in ("longrope", "su") or not folder.has_onnx:
        return None
    return "at longrope's original length: backbone.onnx has the frequencies of short texts alone"


def print_model(path: str | Path | None, result: Result, live: bool = False, slots: int = 4) -> None:
    """`live` adds what the page cache holds of each table at this moment; `slots`: of a server."""
    folder = ModelFolder.open(path or POCKET)
    about = describe(folder, slots) | ({"page_cache": in_page_cache(folder)} if live else {})
    if result.give(about):
        return
    about = cleaned(about)
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.print(about["model"], style="bold")
    console.print(
        f"{about['family']}, {about['n_layers']} blocks of {about['hidden_size']}, vocabulary {about['vocab_size']:,}, "
        f"context {about['context_length']:,}; backbone: {', '.join(about['backbones']) or 'none'}"
    )
    if about["context_ends"]:
        console.print(f"the context ends {about['context_ends']}")
    if about["chat_limit"] and about["chat_limit"] < about["context_length"]:
        console.print(f"a chat stays below {about['chat_limit']:,} tokens: model_max_length in tokenizer_config.json")
    for x in about["end_tokens"]:
        console.print(f"an answer ends with {x['token']} ({x['id']}: {', '.join(x['from'])})")
    engram = about["engram"]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Engram layer before block")
    layers = engram["layers"]
    for x in layers:
        table.add_column(str(x["layer_id"]), justify="right")
    convs = [x["conv"] for x in layers]
    table.add_row("orders x heads", *(", ".join(f"{o['order']}x{o['heads']}" for o in x["orders"]) for x in layers))
    table.add_row("rows", *(f"{x['rows']:,}" for x in layers))
    table.add_row("values a row", *(str(x["head_dim"]) for x in layers))
    table.add_row("encoding", *(f"{x['encoding']}, {x['row_bytes']} B a row" for x in layers))
    table.add_row("read a token", *(f"{x['heads']} rows, {format_size(x['bytes_per_token'])}" for x in layers))
    table.add_row("streams", *(str(x["streams"]) for x in layers))
    table.add_row("convolution", *(f"{c['kernel']}, dilation {c['dilation']}" if c else "none" for c in convs))
    table.add_row("on disk", *(format_size(x["bytes_on_disk"]) for x in layers))
    if live:
        table.add_row("in the page cache", *(f"{x['share']:.1%} ({x['by']})" for x in about["page_cache"].values()))
    console.print(table)
    memory = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("bytes", "on disk", "in memory"):
        memory.add_column(name, justify="left" if name == "bytes" else "right")
    for name, size in about["backbones"].items():
        memory.add_row(f"backbone.{name}", format_size(size), format_size(about["bytes_in_ram"]["weights"][name]))
    ram = about["bytes_in_ram"]
    tables = format_size(about["bytes_on_disk"]["tables"])
    memory.add_row("tables", tables, f"{tables} or none")
    if ram["context_per_token"] is not None:
        memory.add_row(f"context of {about['context_length']:,}", "", format_size(ram["context_full"]))
        memory.add_row(f"the same, serve --slots {slots}", "", format_size(ram["context_slots"]))
        memory.add_row("context, a token", "", format_size(ram["context_per_token"]))
    memory.add_row("all files", format_size(about["bytes_on_disk"]["all"]), "")
    console.print(memory)


def print_rows(path: str | Path | None, text: str, result: Result) -> None:
    """Which rows each token of a text reads; needs the tokenizer and config.json, no weights."""
    folder = ModelFolder.open(path or POCKET)
    tokenizer = open_tokenizer(folder)
    hasher = NgramHasher(folder.engram, folder.token_map)
    tokens = tokenizer.encode(text)
    rows = {x.layer_id: hasher.row_ids(tokens, x.layer_id) for x in folder.engram.layers}
    pieces = [tokenizer.decode([t], skip_special_tokens=False) for t in tokens]
    print_row_ids(tokens, pieces, hasher.ids(tokens).tolist(), rows, result)


def print_row_ids(
    tokens: list[int], pieces: list[str], ids: list[int], rows: dict[int, np.ndarray], result: Result
) -> None:
    """Each token's text and, by layer, the rows [n, heads] that it reads; `ids` is what was hashed."""
    layers = {str(k): v.tolist() for k, v in rows.items()}
    if result.give({"tokens": tokens, "pieces": pieces, "ids": ids, "rows": layers}):
        return
    for i, (token, piece) in enumerate(zip(tokens, pieces, strict=True)):
        show(f"{token}\t{piece!r}")
        for layer_id, of_layer in rows.items():
            show(f"\tlayer {layer_id}: {' '.join(map(str, of_layer[i]))}")


def print_gates(path: str | Path | None, text: str, result: Result) -> None:
    """How far the gates open at each token of a text, which is evaluated as it stands."""
    from dataclasses import asdict

    from engram_local import load
    from engram_local.commands.gate_view import NO_GATES, coloured_table
    from engram_local.gates import read_gates

    with load(path) as model, model.session() as session:
        found = read_gates(session, model.prompt_ids(text, raw=True))
    if not found:
        raise EngramError(NO_GATES)
    if result.give([asdict(x) for x in found]):
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in coloured_table(found):
        console.print(line)
