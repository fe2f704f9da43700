"""The model folder: open it, check it, write its manifest, verify it. docs/format.md lists its files.

Opening costs a few small reads; `verify` re-reads every byte.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from engram_local import __version__
from engram_local.backbone_link import read_backbone_link
from engram_local.config import EngramConfig, inside
from engram_local.errors import ConfigError, EngramError, ModelFolderError
from engram_local.graph_names import GGUF_FILE, GGUF_LINK_FILE, ONNX_FILE
from engram_local.tables.headers import LfsPointerError, read_header, refuse_lfs_pointer

FORMAT = "engram_local.model.v1"
MANIFEST = "manifest.json"
POCKET = Path(__file__).parent / "pocket"  # the small trained model that ships with the package
MAX_JSON_BYTES = 256 << 20  # tokenizer.json of a large vocabulary is about 20 MB
READ_BYTES = 4 << 20
HEAD_BYTES = 32 << 20  # of a backbone's file: what a runtime parses lies there, and hashing it takes milliseconds

Progress = Callable[[str, int, int], None]  # (file, bytes done, bytes in all)


def read_json(path: str | Path, error: type[EngramError] = ModelFolderError) -> Any:
    """Parse a JSON file. Raises `error`, naming the file, where it is missing, unreadable, too large or malformed."""
    try:
        size = os.stat(path).st_size
        if size > MAX_JSON_BYTES:
            raise error(f"{path}: {size} bytes are too many for a JSON file of a model (limit {MAX_JSON_BYTES})")
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror or problem}") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{path}: is not JSON ({str(problem)[:120]}); fetch it again") from problem


def read_token_map(path: str | Path) -> np.ndarray:
    """The tensor `token_map`, int32 [vocab], of a safetensors file. Raises ModelFolderError."""
    header = read_header(path, "a token map", ModelFolderError, "export the model again")
    tensor = header.tensors.get("token_map")
    if tensor is None or tensor.dtype != "I32" or len(tensor.shape) != 1 or tensor.n_bytes > MAX_JSON_BYTES:
        found = "missing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
        raise ModelFolderError(f"{path}: not a token map (tensor token_map, I32 [vocab]): it is {found}")
    with open(path, "rb") as file:
        file.seek(tensor.offset)
        return np.frombuffer(file.read(tensor.n_bytes), "<i4").astype(np.int32)


class ModelFolder:
    """An opened folder: its configuration is read and every file that the manifest lists is there in its right size."""

    def __init__(self, path: Path, config: dict, engram: EngramConfig, manifest: dict):
        self.path = path
        self.config = config  # Hugging Face's config.json
        self.engram = engram
        self.manifest = manifest
        self.token_map = None if engram.token_map is None else self._open_token_map(engram.token_map)

    @classmethod
    def open(cls, path: str | Path) -> "ModelFolder":
        """Raises ModelFolderError or ConfigError, naming the file that is wrong."""
        path = Path(path)
        if not path.exists():
            raise ModelFolderError(f"{path}: no such folder; give a model folder (engram-local export makes one)")
        if not path.is_dir():
            raise ModelFolderError(
                f"{path}: not a folder; give a model folder (engram-local unpack makes one of an archive)"
            )
        manifest = read_manifest(path)
        for name, entry in manifest["files"].items():
            problem = check_size(path / name, entry["bytes"])
            if problem:
                raise ModelFolderError(f"{path / name}: {problem}; fetch or export the model again")
        config = read_json(path / "config.json", ConfigError)
        if not isinstance(config, dict) or "engram" not in config:
            raise ConfigError(
                f'{path / "config.json"}: has no "engram" block; export the checkpoint (engram-local export)'
            )
        engram = EngramConfig.from_dict(config["engram"], str(path / "config.json"))
        folder = cls(path, config, engram, manifest)
        for layer in engram.layers:
            folder.file(layer.table)
        return folder

    def file(self, name: str) -> Path:
        """Path of one of the model's files. Raises ModelFolderError where it is not there, or the manifest does not
        list it."""
        if not inside(name):
            raise ModelFolderError(f"{self.path}: {name!r} is not a path inside the folder")
        path = self.path / name
        if not self.lists(name):
            problem = f"{MANIFEST} does not list it" if path.is_file() else "no such file"
            raise ModelFolderError(f"{path}: {problem}; fetch or export the model again")
        return path

    def intact(self, name: str) -> Path:
        """`file`, for a runtime that may end the process over damage: the first HEAD_BYTES are what the manifest says.
        Raises ModelFolderError where they are not."""
        path, entry = self.file(name), self.manifest["files"][name]
        wanted = entry["sha256"] if entry["bytes"] <= HEAD_BYTES else entry.get("head_sha256")
        try:
            altered = wanted is not None and sha256(path, limit=HEAD_BYTES) != wanted
        except OSError as problem:
            raise ModelFolderError(f"{path}: cannot be read: {problem.strerror or problem}") from problem
        if altered:
            raise ModelFolderError(f"{path}: was altered since {MANIFEST} was written; fetch or export the model again")
        return path

    def lists(self, name: str) -> bool:
        """Whether `name` is one of the model's files: those that the manifest lists. Others are ignored."""
        return name in self.manifest["files"]

    def n_bytes(self, *names: str) -> int:
        """Bytes of those of `names` that are the model's files."""
        return sum(self.manifest["files"][x]["bytes"] for x in names if self.lists(x))

    @property
    def has_onnx(self) -> bool:
        """Whether there is a backbone for ONNX Runtime."""
        return self.lists(ONNX_FILE)

    @property
    def has_gguf(self) -> bool:
        """Whether there is a backbone for llama.cpp."""
        return self.lists(GGUF_FILE) or self.lists(GGUF_LINK_FILE)

    def gguf_files(self) -> list[Path]:
        """The backbone for llama.cpp: one file, or its parts in order; here (`intact`) or where a link says that they
        lie. Raises ModelFolderError."""
        if self.lists(GGUF_LINK_FILE):
            return read_backbone_link(self.file(GGUF_LINK_FILE))
        return [self.intact(GGUF_FILE)]

    @property
    def has_tokenizer(self) -> bool:
        """Whether there is a tokenizer.json."""
        return self.lists("tokenizer.json")

    @property
    def context_length(self) -> int:
        """Tokens the backbone was made for."""
        return self._integer("max_position_embeddings", 1)

    @property
    def vocab_size(self) -> int:
        """Tokens that the backbone has logits for."""
        return self._integer("vocab_size", 1)

    @property
    def head_dim(self) -> int:
        """Values of one attention head."""
        if self.config.get("head_dim") is not None:
            return self._integer("head_dim", 1)
        return self._integer("hidden_size", 1) // self._integer("num_attention_heads", 1)

    def generation_config(self) -> dict:
        """generation_config.json, empty where the folder has none."""
        path = self.path / "generation_config.json"
        settings = read_json(path) if self.lists(path.name) else {}
        if not isinstance(settings, dict):
            raise ModelFolderError(f"{path}: not a JSON object")
        return settings

    @property
    def max_new_tokens(self) -> int | None:
        """Longest answer that the model's generation_config.json speaks of, None where it does not. Raises
        ModelFolderError."""
        value = self.generation_config().get("max_new_tokens")
        if value is not None and (type(value) is not int or value < 1):
            path = self.path / "generation_config.json"
            raise ModelFolderError(f"{path}: max_new_tokens is {str(value)[:40]}, not an integer from 1; correct it")
        return value

    def eos_ids(self) -> frozenset[int]:
        """Token ids that end an answer as the folder's configurations say."""
        return frozenset(i for ids in self.eos_ids_by_file().values() for i in ids)

    def eos_ids_by_file(self) -> dict[str, list[int]]:
        """{file: its eos_token_id}. Raises ConfigError."""
        found = {}
        for name, source in (("generation_config.json", self.generation_config()), ("config.json", self.config)):
            ids = source.get("eos_token_id")
            ids = [] if ids is None else ids if isinstance(ids, list) else [ids]
            if any(type(i) is not int for i in ids):
                raise ConfigError(f"{self.path / name}: eos_token_id is {str(ids)[:80]}, not token ids; correct it")
            found[name] = ids
        return found

    def _integer(self, key: str, low: int) -> int:
        value = self.config.get(key)
        if type(value) is not int or value < low:
            raise ConfigError(f"{self.path / 'config.json'}: {key} is {str(value)[:40]}, not an integer from {low}")
        return value

    def _open_token_map(self, name: str) -> np.ndarray:
        path = self.file(name)
        token_map = read_token_map(path)
        low, high = (int(token_map.min()), int(token_map.max())) if len(token_map) else (0, -1)
        if low < 0 or high != self.engram.n_ids - 1:
            raise ModelFolderError(
                f"{path}: maps to ids {low} to {high}, config.json says {self.engram.n_ids} ids: every row would "
                "be wrong; export the model again"
            )
        return token_map


def read_manifest(path: Path) -> dict:
    """manifest.json, its file entries checked: names inside the folder, sizes and digests well-formed."""
    file = path / MANIFEST
    if not file.is_file():
        raise ModelFolderError(
            f"{path}: has no {MANIFEST}: no model folder, or an export that did not finish; export again"
        )
    return check_manifest(read_json(file), file)


def check_manifest(manifest: Any, file: str | Path) -> dict:
    """`manifest` as it was read from `file`, if it is one. Raises ModelFolderError."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise ModelFolderError(
            f"{file}: format is {str(found)[:40]!r}, this release reads {FORMAT!r}; export the model again"
        )
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise ModelFolderError(f"{file}: files is not an object; export the model again")
    for name, entry in files.items():
        if not inside(name):
            raise ModelFolderError(
                f"{file}: names {name[:80]!r}, not a path inside the folder; do not trust this model"
            )
        size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        head = entry.get("head_sha256", digest) if isinstance(entry, dict) else None
        if type(size) is not int or size < 0 or not _is_digest(digest) or not _is_digest(head):
            raise ModelFolderError(f"{file}: the entry of {name} is malformed; export the model again")
    if "config.json" not in files:
        raise ModelFolderError(f"{file}: does not list config.json; export the model again")
    return manifest


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def check_size(path: Path, n_bytes: int) -> str | None:
    """What is wrong with the file's presence or size, None where nothing is."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return "is missing"
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    if not path.is_file():
        return "is not a file"
    if size == n_bytes:
        return None
    try:
        with open(path, "rb") as file:
            refuse_lfs_pointer(file)
    except (OSError, LfsPointerError) as problem:
        return str(problem)
    return f"has {size} bytes, the manifest says {n_bytes}"


def sha256(path: Path, progress: Callable[[int], None] | None = None, limit: int | None = None) -> str:
    """Hexadecimal digest of a file, or of its first `limit` bytes; `progress` is told the bytes that are done. Raises
    OSError."""
    digest = hashlib.sha256()
    done = 0
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        buffer = memoryview(bytearray(min(READ_BYTES, size + 1)))  # Python writes to all of it
        while n := file.readinto(buffer if limit is None else buffer[: limit - done]):
            digest.update(buffer[:n])
            done += n
            if progress:
                progress(done)
    return digest.hexdigest()


def folder_files(path: Path) -> Iterator[str]:
    """Every file below `path` as a relative POSIX path, sorted; no manifest, no unfinished file (.partial)."""
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and name != MANIFEST and not name.endswith(".partial"):
            yield name


def write_manifest(path: str | Path, export_info: dict | None = None, progress: Progress | None = None) -> dict:
    """Digest every file of a finished folder and write manifest.json, the last file of an export; returns it."""
    path = Path(path)
    files = {}
    for name in folder_files(path):
        size = (path / name).stat().st_size

        def show(done: int, name: str = name, size: int = size) -> None:
            if progress:
                progress(name, done, size)

        files[name] = {"bytes": size, "sha256": sha256(path / name, show)}
        if size > HEAD_BYTES and name.endswith((".gguf", ".onnx")):
            files[name]["head_sha256"] = sha256(path / name, limit=HEAD_BYTES)
    manifest = {
        "format": FORMAT,
        "created_by": f"engram_local {__version__}",
        "files": files,
        "export": export_info or {},
    }
    save_manifest(path, manifest)
    return manifest


def save_manifest(path: Path, manifest: dict) -> None:
    """Put manifest.json into its place in one step."""
    partial = path / (MANIFEST + ".partial")
    partial.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path / MANIFEST)
