"""engram-local verify: re-read every byte of a model folder and say what was found, and what that does not prove.

Files are read with plain reads, never mapped: a file that is cut short while it is checked is a finding, not a crash.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engram_local import model_folder
from engram_local.config import LayerConfig
from engram_local.errors import EngramError, MissingSoftwareError
from engram_local.graph_names import GGUF_LINK_FILE
from engram_local.model_folder import ModelFolder, Progress, check_size, folder_files, read_manifest, sha256
from engram_local.tables import file as table_file
from engram_local.tables.table import read_layout

LIMITS = (
    "the manifest is not signed: whoever can write the folder can write its checksums too",
    "that rows and weights are the ones that were trained is not checked, nor what the model answers",
)

LOADED, REFUSED, NOT_CHECKED = 10, 11, 12  # exit codes of a process that loads a backbone


@dataclass(frozen=True)
class Finding:
    """One result of verify: `ok` is None where nothing was decided (a note)."""

    ok: bool | None
    file: str
    text: str


def verify(path: str | Path, progress: Progress | None = None) -> Iterator[Finding]:
    """Check a model folder and yield each finding as it is made; one with ok=False is a fault.

    Checks: the manifest, each file's size and sha256, files that it does not list, config.json, the header, every block
    checksum and every row of each table, the token map against tokenizer.json, and that the backbone loads.
    """
    path = Path(path)
    try:
        manifest = read_manifest(path)
    except EngramError as error:
        yield Finding(False, model_folder.MANIFEST, str(error))
        return
    altered = set()
    for name, entry in manifest["files"].items():
        finding = _check_file(path / name, name, entry, progress)
        altered |= {name} if finding.ok is False else set()
        yield finding
    for name in sorted(set(folder_files(path)) - set(manifest["files"])):
        yield Finding(None, name, "not in the manifest: not checked")
    try:
        folder = ModelFolder.open(path)
    except EngramError as error:
        yield Finding(False, "config.json", str(error))
        return
    yield Finding(True, "config.json", f"{len(folder.engram.layers)} Engram layers, heads and rows agree")
    for layer in folder.engram.layers:
        yield from _check_table(folder, layer, progress)
    if folder.token_map is not None and folder.engram.token_map is not None:
        yield _check_token_map(folder, folder.engram.token_map, folder.token_map)
    yield from _check_backbone(folder, altered)


def _check_file(path: Path, name: str, entry: dict, progress: Progress | None) -> Finding:
    problem = check_size(path, entry["bytes"])
    if problem:
        return Finding(False, name, problem)
    try:
        size = entry["bytes"]
        digest = sha256(path, (lambda done: progress(name, done, size)) if progress else None)
    except OSError as error:
        return Finding(False, name, f"cannot be read: {error.strerror or error}")
    if digest != entry["sha256"]:
        return Finding(
            False,
            name,
            f"sha256 is {digest[:16]}..., the manifest says {entry['sha256'][:16]}...: it was altered",
        )
    return Finding(True, name, f"size and sha256 agree ({entry['bytes']} bytes)")


def _check_table(folder: ModelFolder, layer: LayerConfig, progress: Progress | None) -> Iterator[Finding]:
    path = folder.path / layer.table
    try:
        layout = read_layout(path)
    except EngramError as error:
        yield Finding(False, layer.table, str(error))
        return
    have, want = (layout.n_rows, layout.dim, layout.encoding), (layer.n_rows, layer.head_dim, layer.encoding)
    if have != want:
        yield Finding(False, layer.table, f"holds (rows, dim, encoding) {have}, config.json says {want}")
    if layout.files != (str(path),):
        text = f"{layout.n_rows} rows lie in {', '.join(layout.files)}: their sizes agree, they have no checksums"
        yield Finding(None, layer.table, text)
        return
    n_problems, done = 0, 0
    for found in table_file.verify(path):
        done = found.done_bytes
        if found.problem:
            n_problems += 1
            yield Finding(False, layer.table, found.problem)
        if progress:
            progress(f"{layer.table} rows", found.done_bytes, found.total_bytes)
    if not n_problems:
        yield Finding(True, layer.table, f"block checksums agree, {layout.n_rows} rows are finite ({done} bytes)")


def _check_token_map(folder: ModelFolder, name: str, token_map: np.ndarray) -> Finding:
    if not folder.has_tokenizer:
        return Finding(None, name, "the folder has no tokenizer.json to derive it from: not checked")
    from engram_local.token_compression import compression_map

    try:
        derived = compression_map(folder.path / "tokenizer.json")
    except EngramError as error:
        return Finding(False, name, str(error))
    stored = token_map[: len(derived)]
    if len(stored) < len(derived):
        return Finding(False, name, f"covers {len(stored)} of the tokenizer's {len(derived)} tokens")
    differing = np.flatnonzero(stored != derived)
    own = differing[stored[differing] == differing]  # engram-peft leaves added tokens as they are
    if len(differing) > len(own):
        i = int(np.setdiff1d(differing, own)[0])
        return Finding(False, name, f"token {i} is mapped to {stored[i]}, tokenizer.json says {derived[i]}")
    kept = f"; {len(own)} keep their own id" if len(own) else ""
    return Finding(True, name, f"{len(derived)} tokens map as tokenizer.json says{kept}")


def _check_backbone(folder: ModelFolder, altered: set[str]) -> Iterator[Finding]:
    """Load each backbone, in a process of its own: a runtime may end the process over what it reads."""
    for name, has in (("onnx", folder.has_onnx), ("gguf", folder.has_gguf)):
        if not has:
            continue
        if altered:
            yield Finding(None, f"backbone.{name}", f"not loaded, for {min(altered)} was altered")
            continue
        if name == "gguf" and folder.lists(GGUF_LINK_FILE):
            try:
                text = f"lies in {', '.join(map(str, folder.gguf_files()))}: sizes agree, there are no checksums"
            except EngramError as error:
                yield Finding(False, GGUF_LINK_FILE, str(error))
                continue
            yield Finding(None, GGUF_LINK_FILE, text)
        call = f"from engram_local.verification import load_backbone; load_backbone({str(folder.path)!r}, {name!r})"
        environment = os.environ | {"PYTHONIOENCODING": "utf-8:backslashreplace"}
        done = subprocess.run([sys.executable, "-c", call], capture_output=True, encoding="utf-8", env=environment)
        if done.returncode == LOADED:
            yield Finding(True, f"backbone.{name}", "loads, and its inputs and outputs are this model's")
        elif done.returncode == NOT_CHECKED:
            yield Finding(None, f"backbone.{name}", f"not checked: {done.stdout.strip()}")
        elif done.returncode == REFUSED:
            yield Finding(False, f"backbone.{name}", done.stdout.strip())
        else:
            text = f"the runtime crashed over it (exit code {done.returncode}): damaged, or made to do so"
            yield Finding(False, f"backbone.{name}", text)


def load_backbone(path: str, backend: str) -> None:
    """Load a folder's backbone, print what is wrong, and exit with one of the codes above."""
    from engram_local.model import load

    try:
        load(path, backend=backend, threads=1, context_length=1).close()
    except EngramError as error:
        print(error, flush=True)
        sys.exit(NOT_CHECKED if isinstance(error, MissingSoftwareError) else REFUSED)
    sys.exit(LOADED)
