"""backbone.link.json: a GGUF, or the parts of one, that lie elsewhere. Sizes tell whether they changed."""

import json
import os
from pathlib import Path
from typing import Any

from engram_local.errors import ModelFolderError

FORMAT = "engram_local.backbone_link.v1"
MAX_FILES = 10_000
MAX_BYTES = 4 << 20


def write_backbone_link(path: Path, files: list[Path]) -> None:
    """Write the link `path` to `files`, the parts in order."""
    entries = [{"file": str(x.resolve()), "bytes": x.stat().st_size} for x in files]
    path.write_text(json.dumps({"format": FORMAT, "files": entries}, indent=1) + "\n", encoding="utf-8")


def read_backbone_link(path: Path) -> list[Path]:
    """The files that a link names, in order. Raises ModelFolderError where one is not there, or of another size."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelFolderError(f"{path}: {path.stat().st_size} bytes are no link file")
        block = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path}: is not JSON ({str(error)[:80]}); link the model again") from error
    entries = block.get("files") if isinstance(block, dict) and block.get("format") == FORMAT else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_FILES:
        raise ModelFolderError(f"{path}: is not a link of format {FORMAT!r}; link the model again")
    return [_checked(path, entry) for entry in entries]


def _checked(path: Path, entry: Any) -> Path:
    name, size = (entry.get("file"), entry.get("bytes")) if isinstance(entry, dict) else (None, None)
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) < 800 or type(size) is not int:
        raise ModelFolderError(f"{path}: {str(entry)[:80]} does not name a file; link the model again")
    file = path.parent / name
    try:
        found = os.stat(file).st_size
    except OSError as error:
        raise ModelFolderError(f"{file}: cannot be read ({error.strerror}), but {path} needs it") from error
    if found != size:
        raise ModelFolderError(
            f"{file}: has {found} bytes, not the {size} it had when it was linked; link the model again"
        )
    return file
