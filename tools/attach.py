"""Joins a GGUF that somebody has with the Engram layers of a model folder or checkpoint: a model folder of both.

Nothing is written before hidden size, blocks, tokenizer and the graph's node names have been compared.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from engram_local.backends.gguf_tokenizer import GgufTokenizer
from engram_local.backends.llama_library import ggml_functions, llama, load_model, metadata
from engram_local.backends.llama_nodes import input_node
from engram_local.config import EngramConfig
from engram_local.errors import BackendError, ModelFolderError
from engram_local.graph_names import GGUF_FILE
from engram_local.model_folder import MANIFEST, ModelFolder, read_json, write_manifest
from engram_local.tables import encodings
from engram_local.tools.checkpoints.view import KEPT_FILES, TOKENIZER_FILES
from engram_local.tools.new_folder import check_space, new_folder, refuse_existing

FICLONE = 0x40049409  # Linux: share the blocks, copy on write

Progress = Callable[..., None]  # see progress.py


def attach(
    gguf: str | Path,
    source: str | Path,
    out: str | Path,
    base: str | Path | None = None,
    tables: str = "int8",
    weights: str = "int8",
    progress: Progress | None = None,
) -> dict:
    """Write the model folder `out`: the backbone `gguf` with the Engram layers of `source`.

    Parameters: source: a model folder, whose tables and layers are taken as they are; or a checkpoint (base: its
                Hugging Face folder, where that lies apart), whose tables are encoded as `tables`, layers as `weights`.
    Returns:    what the manifest's "export" block holds; "gguf" and "tables" say how each file got there: "cloned"
                (its blocks are shared until one is altered), "hard-linked" (one file with two names) or "copied".
    Raises:     EngramError before anything is written where the two do not belong together; a later failure leaves
                nothing behind.
    """
    gguf, source, out = Path(gguf), Path(source), Path(out)
    refuse_existing(out)
    origin = _Folder(source) if (source / MANIFEST).is_file() else _Checkpoint(source, base, tables, weights)
    tokenizer = check(gguf, origin)
    n_bytes = origin.n_bytes(out) + _copied_bytes(gguf, out)
    check_space(out, n_bytes, "make room, or choose a folder on the GGUF's own disk")
    with new_folder(out, {"attach": str(gguf), "source": str(source), "tables": tables, "weights": weights}) as folder:
        info = {"backend": "gguf", "gguf": place(gguf, folder.path / GGUF_FILE, progress)}
        info |= origin.write(folder.path, progress)
        if tokenizer is not None:
            _keep_chat(folder.path, tokenizer)
        write_manifest(folder.path, info, progress)
    return info


class _Reached(Exception):
    """The last Engram layer's node has been computed; the rest of the graph need not be."""


class _Folder:
    """A model folder as the origin of layers and tables."""

    def __init__(self, path: Path):
        self.path = path
        self.folder = ModelFolder.open(path)
        self.engram, self.config = self.folder.engram, self.folder.config
        self.files = [f"engram_layer_{x.layer_id}.onnx" for x in self.engram.layers]
        self.files += [x.table for x in self.engram.layers]
        self.files += [self.engram.token_map] if self.engram.token_map else []
        for name in self.files:
            self.folder.file(name)
        self.files += [x for x in ("config.json", *TOKENIZER_FILES, *KEPT_FILES) if (path / x).is_file()]

    def n_bytes(self, out: Path) -> int:
        """Bytes that `write` needs."""
        return sum(_copied_bytes(self.path / x, out) for x in self.files)

    def pieces(self) -> tuple[dict[int, str], set[int]] | None:
        if self.folder.has_tokenizer:
            return read_pieces(self.path / "tokenizer.json")
        if self.folder.has_gguf:
            tokenizer = GgufTokenizer(self.path / GGUF_FILE)
            return {i: tokenizer.piece(i) for i in range(tokenizer.vocab_size)}, set()
        return None

    def write(self, out: Path, progress: Progress | None) -> dict:
        tables = {x.table: "" for x in self.engram.layers}
        for name in self.files:
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in tables and name.endswith(".link.json"):
                _copy_link(self.path / name, target)
                tables[name] = "read where they lie"
            elif name in tables:
                tables[name] = place(self.path / name, target, progress)
            else:
                shutil.copyfile(self.path / name, target)
        return {"tables": tables}


class _Checkpoint:
    """A checkpoint as the origin: its layers and tables are exported."""

    def __init__(self, path: Path, base: str | Path | None, tables: str, weights: str):
        from engram_local.tools.checkpoints import open_checkpoint
        from engram_local.tools.export import check_tables

        view = open_checkpoint(path, base)
        if view.lora is not None or view.overrides:
            raise ModelFolderError(
                f"{path}: changes the backbone's own weights too, which a GGUF from elsewhere does not have; "
                "use engram-local export --backend gguf"
            )
        check_tables(view)
        tables = "fp8_e4m3" if tables == "fp8" else tables
        layers = tuple(replace(x, encoding=tables) for x in view.engram.layers)
        self.view = replace(view, engram=replace(view.engram, layers=layers))
        self.path, self.weights = path, weights
        self.engram: EngramConfig = self.view.engram
        self.config = read_json(view.base / "config.json")

    def n_bytes(self, out: Path) -> int:
        tables = sum(x.n_rows * encodings.row_bytes(x.encoding, x.head_dim) for x in self.engram.layers)
        return tables + sum(4 * (w.key_proj.size + w.value_proj.size) for w in self.view.layers.values())

    def pieces(self) -> tuple[dict[int, str], set[int]] | None:
        path = self.view.base / "tokenizer.json"
        return read_pieces(path) if path.is_file() else None

    def write(self, out: Path, progress: Progress | None) -> dict:
        from engram_local.tools.export import write_backbones, write_config
        from engram_local.tools.export.tables import convert_table

        reports = {}
        for layer in self.engram.layers:
            rows = self.view.tables[layer.layer_id]
            reports[layer.table] = convert_table(rows, out / layer.table, layer.encoding, layer.table, progress)
        write_backbones(self.view, None, out, (), self.weights, progress)  # the layers alone
        write_config(self.view, out)
        return {"layout": self.view.layout, "weights": self.weights, "tables": reports}


def check(gguf: Path, origin: Any) -> GgufTokenizer | None:
    """Raise EngramError unless the layers of `origin` fit the backbone `gguf`; returns the GGUF's tokenizer if any."""
    config = origin.config.get("text_config", origin.config)
    model = load_model(gguf, vocab_only=True)
    try:
        split = metadata(model, "split.count")
        if split not in (None, "0", "1"):
            raise ModelFolderError(f"{gguf}: is one of {split} parts; join them first (llama-gguf-split --merge)")
        n_tokens = llama().llama_vocab_n_tokens(llama().llama_model_get_vocab(model))
        has_tokenizer = llama().llama_vocab_type(llama().llama_model_get_vocab(model)) != 0
    finally:
        llama().llama_model_free(model)
    tokenizer = GgufTokenizer(gguf) if has_tokenizer else None
    known = origin.pieces()
    if known is not None:
        check_tokenizer(gguf, tokenizer, n_tokens, *known, origin.path)
    check_graph(gguf, origin.engram, config, origin.path)
    return tokenizer


def check_graph(gguf: Path, engram: EngramConfig, config: dict, source: Path) -> None:
    """Compare hidden size and blocks, then evaluate one token as far as the last Engram layer: llama.cpp's graph must
    have each layer's node, in the order of the layers and of the hidden size. Reads no later weights."""
    from engram_local._llama_callback import EvalCallback

    lib, model, ctx = llama(), load_model(gguf), None
    try:
        architecture = metadata(model, "general.architecture")
        for what, key, have in (
            ("hidden size", "hidden_size", lib.llama_model_n_embd(model)),
            ("blocks", "num_hidden_layers", lib.llama_model_n_layer(model)),
        ):
            if config.get(key) != have:
                raise ModelFolderError(
                    f"{gguf}: {what} {have}, but {source} was made for {config.get(key)}: not the same base model"
                )
        if engram.layers[-1].layer_id >= lib.llama_model_n_layer(model):
            raise ModelFolderError(
                f"{source}: has an Engram layer {engram.layers[-1].layer_id}, {gguf} ends with block "
                f"{lib.llama_model_n_layer(model) - 1}; they do not belong together"
            )
        names = [input_node(architecture, x.layer_id) for x in engram.layers]
        sizes: list[int] = []

        def on_node(index: int) -> None:
            sizes.append(callback.n_bytes)
            if index + 1 == len(names):
                raise _Reached

        callback = EvalCallback([x.encode() for x in names], on_node, ggml_functions())
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 32
        params.cb_eval = lib.ggml_backend_sched_eval_callback(callback.address)
        params.cb_eval_user_data = callback.user_data
        ctx = lib.llama_init_from_model(model, params)
        if not ctx:
            raise BackendError(f"{gguf}: llama.cpp cannot run architecture {architecture!r}; use another GGUF")
        callback.arm()
        lib.llama_decode(ctx, lib.llama_batch_get_one((lib.llama_token * 1)(0), 1))
        try:
            missing = callback.finish()
        except _Reached:
            missing = None
        wrong = [
            f"node {n!r} of {s} bytes" for n, s in zip(names, sizes, strict=False) if s != 4 * config["hidden_size"]
        ]
        if missing or wrong:
            problem = f"no node {missing!r}" if missing else wrong[0]
            raise BackendError(
                f"{gguf}: llama.cpp's graph of architecture {architecture!r} has {problem}, so Engram layers cannot "
                "enter there; use the ONNX backend (engram-local export --backend onnx)"
            )
    finally:
        if ctx:
            lib.llama_free(ctx)
        lib.llama_model_free(model)


def check_tokenizer(
    gguf: Path, tokenizer: GgufTokenizer | None, n_tokens: int, pieces: dict[int, str], added: set[int], source: Path
) -> None:
    """Compare the vocabularies: the tokens that text is made of must be the same, piece by piece. Added tokens may be
    missing on either side, and llama.cpp's spelling of user-defined ones may differ."""
    n_base = sum(i not in added for i in pieces)
    n_missing = sum(i >= n_tokens for i in pieces if i not in added)
    n_extra = 0
    if tokenizer is not None:
        n_extra = sum(tokenizer.is_text(i) for i in range(tokenizer.vocab_size) if i not in pieces)
        n_missing += sum(tokenizer.vocab_size <= i < n_tokens for i in pieces if i not in added)
    if n_missing or n_extra:
        raise ModelFolderError(
            f"{gguf}: its vocabulary has {n_base - n_missing + n_extra} tokens, {source} was made for {n_base}: "
            "another tokenizer, so every row would be wrong; use a GGUF of the same base model"
        )
    if tokenizer is None:
        return
    for i, piece in sorted(pieces.items()):
        if i < tokenizer.vocab_size and tokenizer.is_text(i) and tokenizer.piece(i) != piece:
            raise ModelFolderError(
                f"{gguf}: token {i} is {tokenizer.piece(i)!r}, {source} was made for {piece!r}: another tokenizer, so "
                "every row would be wrong; use a GGUF of the same base model"
            )


def read_pieces(path: Path) -> tuple[dict[int, str], set[int]]:
    """tokenizer.json: {id: piece}, and the ids of added tokens. Raises ModelFolderError."""
    import tokenizers

    try:
        core = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelFolderError(f"{path}: not a tokenizer: {str(error)[:160]}") from error
    pieces = {i: piece for piece, i in core.get_vocab(with_added_tokens=True).items()}
    return pieces, set(core.get_added_tokens_decoder())


def place(source: Path, target: Path, progress: Progress | None = None) -> str:
    """Give `source`'s bytes the name `target` without copying them where the file systems can; says what it did."""
    source = source.resolve()
    if _clone(source, target):
        return "cloned"
    try:
        os.link(source, target)
        return "hard-linked"
    except OSError:
        pass
    size = source.stat().st_size
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while block := reader.read(16 << 20):
            writer.write(block)
            if progress:
                progress(target.name, writer.tell(), size)
    return "copied"


def _clone(source: Path, target: Path) -> bool:
    try:
        import fcntl

        with open(source, "rb") as reader, open(target, "xb") as writer:
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
        return True
    except (ImportError, OSError):
        target.unlink(missing_ok=True)
        return False


def _copied_bytes(source: Path, out: Path) -> int:
    """Bytes that `place` has to copy: none within one file system."""
    parent = next(p for p in out.absolute().parents if p.exists())
    stat = source.stat()
    return 0 if stat.st_dev == parent.stat().st_dev else stat.st_size


def _copy_link(source: Path, target: Path) -> None:
    """A link file names others relative to itself: absolute in the new place."""
    block = read_json(source)

    def absolute(name: str) -> str:
        return str((source.parent / name).resolve())

    block["files"] = {absolute(name): entry for name, entry in block["files"].items()}
    for entry in [*block["rows"], *block.get("scales", [])]:
        entry["file"] = absolute(entry["file"])
    target.write_text(json.dumps(block, indent=1) + "\n", encoding="utf-8")


def _keep_chat(folder: Path, tokenizer: GgufTokenizer) -> None:
    """Where the layers came without a chat template, the GGUF's serves, with the tokens that end an answer in it."""
    settings_path, path = folder / "tokenizer_config.json", folder / "generation_config.json"
    settings = read_json(settings_path) if settings_path.is_file() else {}
    if (folder / "chat_template.jinja").is_file() or settings.get("chat_template") or tokenizer.template is None:
        return
    (folder / "chat_template.jinja").write_text(tokenizer.template_source, encoding="utf-8")
    if not settings:
        settings_path.write_text(json.dumps(tokenizer.special) + "\n", encoding="utf-8")
    generation = read_json(path) if path.is_file() else {}
    own = generation.get("eos_token_id") or []
    ids = {*([own] if isinstance(own, int) else own), *tokenizer.end_ids()}
    path.write_text(json.dumps(generation | {"eos_token_id": sorted(ids)}, indent=1) + "\n", encoding="utf-8")
