"""engram-local inspect of a published model: its tables and hashing, from a config or a GGUF's header alone."""

from pathlib import Path

import numpy as np

from engram_local.commands.inspection import print_row_ids
from engram_local.commands.terminal import Result
from engram_local.config import ENCODINGS
from engram_local.errors import ModelFolderError
from engram_local.foreign_text import cleaned
from engram_local.hashing import NgramHasher
from engram_local.sizes import format_size
from engram_local.tables import encodings
from engram_local.tables.budget import Budget, limit_bytes
from engram_local.tables.links import linked_row_bytes

OF_GGUF = ("bfloat16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "mxfp4", "q6_k", "q5_k", "q4_k")


def describe_tables(path: str, ram_limit: int | str | None = None) -> dict:
    """What `inspect --json` prints of it; sizes in bytes. Raises EngramError."""
    from engram_local.tools.checkpoints.table_spec import read_table_spec

    spec = read_table_spec(path)
    layers = spec.engram.layers
    limit = limit_bytes(ram_limit)
    return {
        "model": str(spec.path),
        "family": spec.family,
        "n_layers": spec.sizes["num_hidden_layers"],
        "hidden_size": spec.sizes["hidden_size"],
        "vocab_size": spec.sizes["vocab_size"],
        "runs": spec.note is None,
        "why_not": spec.note,
        "engram": {
            "id_source": spec.engram.id_source,
            "n_ids": spec.engram.n_ids if spec.can_hash else None,
            "mix": spec.engram.mix,
            "fill_id": spec.engram.fill_id,
            "segment_ids": list(spec.engram.segment_ids),
            "rows_per_token": sum(x.n_heads for x in layers),
            "layers": [
                {
                    "layer_id": x.layer_id,
                    "orders": [{"order": o.order, "heads": len(o.moduli), "rows": sum(o.moduli)} for o in x.orders],
                    "heads": x.n_heads,
                    "head_dim": x.head_dim,
                    "rows": x.n_rows,
                }
                for x in layers
            ],
        },
        "stored": spec.stored,
        "ram_limit": limit,
        "encodings": [y for x in (*ENCODINGS, *OF_GGUF) if (y := _encoded(x, spec.engram.layers, limit)) is not None],
    }


def _encoded(encoding: str, layers: tuple, limit: int | None) -> dict | None:
    """What the tables take in one encoding, and how they would be read; None where rows do not fit its blocks."""
    sizes = [
        encodings.row_bytes(encoding, x.head_dim) if encoding in ENCODINGS else linked_row_bytes(encoding, x.head_dim)
        for x in layers
    ]
    if None in sizes:
        return None
    data = [x.n_rows * n for x, n in zip(layers, sizes, strict=True)]
    about = {
        "encoding": encoding,
        "row_bytes": sizes[0],
        "bytes_per_token": sum(x.n_heads * n for x, n in zip(layers, sizes, strict=True)),
        "bytes_on_disk": sum(data),
    }
    if limit is not None:
        budget = Budget.of(data, ram_limit=limit)
        cached = sum(x.cache_bytes for x in budget.shares)
        fits = budget.shares[0].access == "resident"
        about["under_limit"] = {
            "access": budget.shares[0].access,
            "in_memory": sum(data) if fits else cached,
            "share": 1.0 if fits else cached / sum(data),
            "too_little": budget.too_little,
        }
    return about


def print_tables(path: str, result: Result, ram_limit: str | None) -> None:
    """Its tables, and what they take in every encoding."""
    about = describe_tables(path, ram_limit)
    if result.give(about):
        return
    about = cleaned(about)
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    console.print(about["model"], style="bold")
    sizes = [
        about["family"],
        f"{about['n_layers']} blocks of {about['hidden_size']}" if about["n_layers"] and about["hidden_size"] else "",
        f"vocabulary {about['vocab_size']:,}" if about["vocab_size"] else "",
    ]
    console.print(", ".join(x for x in sizes if x))
    if about["why_not"]:
        console.print(f"cannot run yet: {about['why_not']}")
    engram = about["engram"]
    ids = f"{engram['n_ids']:,} " if engram["n_ids"] else ""
    console.print(f"hashes {ids}{engram['id_source']} ids, {engram['rows_per_token']} rows a token")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Engram layer before block")
    for x in engram["layers"]:
        table.add_column(str(x["layer_id"]), justify="right")
    table.add_row("orders x heads", *(_orders(x["orders"]) for x in engram["layers"]))
    table.add_row("rows", *(f"{x['rows']:,}" for x in engram["layers"]))
    table.add_row("values a row", *(str(x["head_dim"]) for x in engram["layers"]))
    console.print(table)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("encoding")
    for name in ("bytes a row", "read a token", "on disk"):
        table.add_column(name, justify="right")
    if about["ram_limit"] is not None:
        table.add_column("in memory", justify="right")
        console.print(f"under a RAM limit of {format_size(about['ram_limit'])}:")
    for x in about["encodings"]:
        cells = [str(x["row_bytes"]), format_size(x["bytes_per_token"]), format_size(x["bytes_on_disk"])]
        if "under_limit" in x:
            cells.append(_in_memory(x["under_limit"]))
        table.add_row(x["encoding"] + (" (as it is)" if x["encoding"] == about["stored"] else ""), *cells)
    console.print(table)


def print_table_rows(path: str, text: str, result: Result) -> None:
    """Which rows each token of a text reads. Raises EngramError where the tokenizer is not there."""
    from engram_local.tools.checkpoints.table_spec import read_table_spec

    spec = read_table_spec(path)
    if spec.tokenizer is None or not spec.can_hash:
        raise ModelFolderError(
            f"{spec.path}: rows follow from tokens, and no tokenizer.json lies beside it; put it there"
        )
    hasher = NgramHasher(spec.engram, spec.token_map)
    tokens, pieces = _tokens(spec.tokenizer, text)
    rows = {x.layer_id: hasher.row_ids(np.array(tokens, np.int64), x.layer_id) for x in spec.engram.layers}
    print_row_ids(tokens, pieces, hasher.ids(np.array(tokens, np.int64)).tolist(), rows, result)


def _tokens(path: Path, text: str) -> tuple[list[int], list[str]]:
    """Ids and texts of the tokens, by a tokenizer.json or a GGUF's own tokenizer."""
    if path.suffix == ".gguf":
        from engram_local.backends.gguf_tokenizer import GgufTokenizer
        from engram_local.tools.gguf_files import parts_of

        tokenizer = GgufTokenizer(parts_of(path))
        tokens = tokenizer.encode(text)
        return tokens, [tokenizer.decode([t], skip_special_tokens=False) for t in tokens]
    from engram_local.tools.checkpoints.token_maps import load_tokenizer

    core = load_tokenizer(path.parent)
    tokens = core.encode(text).ids
    return tokens, [core.decode([t], skip_special_tokens=False) for t in tokens]


def _orders(orders: list[dict]) -> str:
    """Example: "2x8, 3x8"; tables of their own moduli that have one order are counted together."""
    counts: dict[int, int] = {}
    for x in orders:
        counts[x["order"]] = counts.get(x["order"], 0) + x["heads"]
    return ", ".join(f"{order}x{heads}" for order, heads in counts.items())


def _in_memory(limit: dict) -> str:
    """Example: "1.9 GiB (4.0% of the rows)"."""
    if limit["too_little"]:
        return "too little"
    share = "all" if limit["share"] == 1.0 else f"{limit['share']:.1%} of the rows"
    return f"{format_size(limit['in_memory'])} ({share})"
