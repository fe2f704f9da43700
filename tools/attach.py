"""Joins a GGUF that somebody has with the Engram layers of a model folder or checkpoint: a model folder of both.

Nothing is written before hidden size, blocks, tokenizer and the graph's node names have been compared.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from engram_local.backends.gguf_tokenizer import GgufTokenizer
from engram_local.config import EngramConfig
from engram_local.errors import ModelFolderError
from engram_local.graph_names import GGUF_FILE, layer_file
from engram_local.model_folder import MANIFEST, ModelFolder, read_json, write_manifest
from engram_local.progress import Progress
from engram_local.tables import encodings
from engram_local.tools.checkpoints.view import KEPT_FILES, TOKENIZER_FILES
from engram_local.tools.gguf_fit import Origin, check_fit, read_pieces
from engram_local.tools.new_folder import check_space, new_folder, refuse_existing
from engram_local.tools.place import copied_bytes, copy_link, place


def attach(
    gguf: str | Path,
    source: str | Path,
    out: str | Path,
    base: str | Path | None = None,
    tables: str = "int8",
    weights: str = "int8",
    progress: Progress | None = None,
    table: str | Path | None = None,
) -> dict:
    """Write the model folder `out`: the backbone `gguf` with the Engram layers of `source`.

    Parameters: source: a model folder, whose tables and layers are taken as they are; or a checkpoint (base: its
                Hugging Face folder, where that lies apart), whose tables are encoded as `tables`, layers as `weights`;
                table: where the rows of an adapter lie that does not hold them: they stay there.
    Returns:    what the manifest's "export" block holds, and with it how each file got there ("gguf", and "tables" of a
                model folder): "cloned" (its blocks are shared until one is altered), "hard-linked" (one file with two
                names) or "copied". The manifest does not: the same files make the same folder.
    Raises:     EngramError before anything is written where the two do not belong together; a later failure leaves
                nothing behind.
    """
    gguf, source, out = Path(gguf), Path(source), Path(out)
    refuse_existing(out)
    is_folder = (source / MANIFEST).is_file()
    if is_folder and table is not None:
        raise ModelFolderError(f"{source}: is a model folder, which has its tables; leave --table out")
    origin: Origin = _Folder(source) if is_folder else _Checkpoint(source, base, tables, weights, table)
    tokenizer = check_fit(gguf, origin)
    n_bytes = origin.n_bytes(out) + copied_bytes(gguf, out)
    check_space(out, n_bytes, "make room, or choose a folder on the GGUF's own disk")
    with new_folder(out, {"attach": str(gguf), "source": str(source), "tables": tables, "weights": weights}) as folder:
        placed = {"gguf": place(gguf, folder.path / GGUF_FILE, progress)}
        info = {"backend": "gguf", **origin.write(folder.path, placed, progress)}
        if tokenizer is not None:
            _keep_chat(folder.path, tokenizer)
        write_manifest(folder.path, info, progress)
    return info | placed


class _Folder:
    """A model folder as the origin of layers and tables."""

    def __init__(self, path: Path):
        self.path = path
        self.folder = ModelFolder.open(path)
        self.engram, self.config = self.folder.engram, self.folder.config
        self.files = [layer_file(x.layer_id) for x in self.engram.layers]
        self.files += [x.table for x in self.engram.layers]
        self.files += [self.engram.token_map] if self.engram.token_map else []
        for name in self.files:
            self.folder.file(name)
        self.files += [x for x in ("config.json", *TOKENIZER_FILES, *KEPT_FILES) if (path / x).is_file()]

    def n_bytes(self, out: Path) -> int:
        """Bytes that `write` needs."""
        return sum(copied_bytes(self.path / x, out) for x in self.files)

    def pieces(self) -> tuple[dict[int, str], set[int]] | None:
        if self.folder.has_tokenizer:
            return read_pieces(self.path / "tokenizer.json")
        if self.folder.has_gguf:
            tokenizer = GgufTokenizer(self.path / GGUF_FILE)
            return {i: tokenizer.piece(i) for i in range(tokenizer.vocab_size)}, set()
        return None

    def write(self, out: Path, placed: dict, progress: Progress | None) -> dict:
        tables = {x.table: "" for x in self.engram.layers}
        for name in self.files:
            target = out / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in tables and name.endswith(".link.json"):
                copy_link(self.path / name, target)
                tables[name] = "read where they lie"
            elif name in tables:
                tables[name] = place(self.path / name, target, progress)
            else:
                shutil.copyfile(self.path / name, target)
        placed["tables"] = tables
        return {}


class _Checkpoint:
    """A checkpoint as the origin: its layers and tables are exported."""

    def __init__(self, path: Path, base: str | Path | None, tables: str, weights: str, table: str | Path | None):
        from engram_local.tools.checkpoints import open_checkpoint
        from engram_local.tools.export.folder import check_tables, is_foreign

        view = open_checkpoint(path, base, table=table)
        if view.lora is not None or view.overrides:
            raise ModelFolderError(
                f"{path}: changes the backbone's own weights too, which a GGUF from elsewhere does not have; "
                "use engram-local export --backend gguf"
            )
        check_tables(view)
        tables = "fp8_e4m3" if tables == "fp8" else tables
        self.links = is_foreign(view)
        if not self.links:
            layers = tuple(replace(x, encoding=tables) for x in view.engram.layers)
            view = replace(view, engram=replace(view.engram, layers=layers))
        self.view = view
        self.path, self.weights = path, weights
        self.engram: EngramConfig = self.view.engram
        self.config = read_json(view.base / "config.json")

    def n_bytes(self, out: Path) -> int:
        tables = sum(x.n_rows * encodings.row_bytes(x.encoding, x.head_dim) for x in self.engram.layers)
        return (0 if self.links else tables) + sum(4 * w.n_values for w in self.view.layers.values())

    def pieces(self) -> tuple[dict[int, str], set[int]] | None:
        path = self.view.base / "tokenizer.json"
        return read_pieces(path) if path.is_file() else None

    def write(self, out: Path, placed: dict, progress: Progress | None) -> dict:
        from engram_local.tools.export.folder import link_tables, write_backbones, write_config
        from engram_local.tools.export.tables import convert_table

        view, reports = link_tables(self.view, out) if self.links else (self.view, {})
        for layer in () if self.links else self.engram.layers:
            rows = self.view.tables[layer.layer_id]
            reports[layer.table] = convert_table(rows, out / layer.table, layer.encoding, layer.table, progress)
        write_backbones(view, None, out, (), self.weights, progress)  # the layers alone
        write_config(view, out)
        return {"layout": self.view.layout, "weights": self.weights, "tables": reports}


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
