"""Encode a model folder's tables anew: everything else is copied as it is."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from engram_local.config import ENCODINGS, LayerConfig
from engram_local.errors import ModelFolderError
from engram_local.model_folder import MANIFEST, ModelFolder, save_manifest, sha256, write_manifest
from engram_local.progress import Progress
from engram_local.tables import encodings
from engram_local.tables.table import Table, read_layout
from engram_local.tools.calibration import calibrate as run_calibration
from engram_local.tools.calibration import read_tokens
from engram_local.tools.checkpoints.view import RowSource, table_name
from engram_local.tools.export.tables import convert_table
from engram_local.tools.new_folder import check_space, new_folder, refuse_existing


class TableRows(RowSource):
    """A table, linked or not, as a RowSource (checkpoints/view.py)."""

    def __init__(self, path: Path):
        self._table = Table(path)
        self.n_rows, self.dim = self._table.n_rows, self._table.dim

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._table.gather(np.arange(start, stop))

    def close(self) -> None:
        self._table.close()


def quantize_model(
    model: str | Path,
    out: str | Path,
    tables: str,
    calibrate: str | Path | None = None,
    progress: Progress | None = None,
) -> dict:
    """Write the model folder `out`: that of `model` with its tables in the encoding `tables` (one of ENCODINGS, or
    "fp8"). Linked tables are read where they lie and become files of `out`.

    `calibrate` is a text file; see calibration.py, whose reference is then `model`'s own rows. Returns what the
    manifest's "export" block holds. Raises ModelFolderError, TableError; `out` is then not there. A run that was
    interrupted goes on with the tables that it had finished.
    """
    tables = "fp8_e4m3" if tables == "fp8" else tables
    if tables not in ENCODINGS:
        raise ModelFolderError(f"tables {tables!r} is unknown; choose one of {', '.join(ENCODINGS)}")
    refuse_existing(out)
    source = ModelFolder.open(model)
    old = source.engram.layers
    changed = [x for x in old if x.encoding != tables or x.linked]
    if not changed:
        raise ModelFolderError(f"{model}: its tables are {tables} already; copy the folder, or choose another encoding")
    tokens = None if calibrate is None else read_tokens(source.path, calibrate)
    new = [replace(x, encoding=tables, table=table_name(x.layer_id)) if x in changed else x for x in old]
    kept = [name for name in source.manifest["files"] if name not in {x.table for x in changed} | {"config.json"}]
    n_bytes = sum(x.n_rows * encodings.row_bytes(tables, x.head_dim) for x in changed)
    check_space(out, n_bytes + sum(source.manifest["files"][name]["bytes"] for name in kept))

    manifest_digest = hashlib.sha256((source.path / MANIFEST).read_bytes()).hexdigest()
    with new_folder(out, {"command": "quantize", "manifest": manifest_digest, "tables": tables}) as folder:
        for name in kept:
            _copy(source, name, folder.path / name)
        for before, after in zip(old, new, strict=True):
            if before in changed and after.table not in folder.finished:
                folder.finish(after.table, _encode(source, before, after, folder.path, progress))
        config = dict(source.config, engram=replace(source.engram, layers=tuple(new)).to_dict())
        (folder.path / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        info = source.manifest.get("export")
        info = {x: y for x, y in info.items() if x != "calibration"} if isinstance(info, dict) else {}
        info["tables"] = folder.finished
        info["quantized_from"] = {"manifest_sha256": manifest_digest, "encodings": [x.encoding for x in old]}
        manifest = write_manifest(folder.path, info, progress)
        for name in kept:
            _compare(source, name, manifest["files"][name]["sha256"])
        if tokens is not None:
            rows = {x.layer_id: TableRows(source.file(x.table)) for x in old}
            info["calibration"] = run_calibration(folder.path, rows, tokens, Path(calibrate).name, progress)
            for table in rows.values():
                table.close()
            save_manifest(folder.path, manifest | {"export": info})
    return info


def _encode(source: ModelFolder, before: LayerConfig, after: LayerConfig, out: Path, progress: Progress | None) -> dict:
    path = source.file(before.table)
    layout = read_layout(path)
    if (layout.n_rows, layout.dim) != (before.n_rows, before.head_dim):
        raise ModelFolderError(
            f"{path}: holds {layout.n_rows} rows of {layout.dim} values, config.json says {before.n_rows} of "
            f"{before.head_dim}; fetch or export the model again"
        )
    if not before.linked:  # damage would get a checksum of its own
        _compare(source, before.table, sha256(path))
    rows = TableRows(path)
    try:
        return convert_table(rows, out / after.table, after.encoding, after.table, progress)
    finally:
        rows.close()


def _copy(source: ModelFolder, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.file(name), path)


def _compare(source: ModelFolder, name: str, digest: str) -> None:
    if digest != source.manifest["files"][name]["sha256"]:
        raise ModelFolderError(
            f"{source.path / name}: does not match the sha256 of the manifest; fetch or export the model again"
        )
