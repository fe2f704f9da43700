"""Makes the model that ships with the package: python -m engram_local.tools.export.pocket CHECKPOINT [OUT]."""

import shutil
import sys
import tempfile
from pathlib import Path

import engram_local
from engram_local.errors import EngramError
from engram_local.graph_names import GGUF_FILE
from engram_local.model_folder import write_manifest
from engram_local.tools.checkpoints.view import KEPT_FILES
from engram_local.tools.export import export_model

LIMIT_BYTES = 25 << 20


def make_pocket(checkpoint: str | Path, out: str | Path | None = None) -> Path:
    """Replace `out` (by default the package's own pocket folder) by an export of `checkpoint`, rows int4, weights int8.

    It holds both backbones, or backbone.onnx alone where backbone.gguf would make it larger than the package takes; a
    line on stderr says so. A notice that lies in `out` stays there unless the checkpoint brings its own.
    """
    out = Path(engram_local.__file__).parent / "pocket" if out is None else Path(out)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".pocket-") as scratch:
        made = Path(scratch) / "model"
        info = export_model(checkpoint, made, backend="both", tables="int4", weights="int8")
        excess = folder_bytes(made) - LIMIT_BYTES
        if excess > 0:
            shutil.rmtree(made)
            info = export_model(checkpoint, made, backend="onnx", tables="int4", weights="int8")
            print(f"{GGUF_FILE} was left out: with it the folder has {excess} bytes too many", file=sys.stderr)
        for name in KEPT_FILES:
            if (out / name).is_file() and not (made / name).exists():
                shutil.copyfile(out / name, made / name)
                write_manifest(made, info)
        size = folder_bytes(made)
        if size > LIMIT_BYTES:
            raise EngramError(
                f"{checkpoint}: the export has {size} bytes, the package takes {LIMIT_BYTES}; train a smaller one"
            )
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    return out


def folder_bytes(path: Path) -> int:
    """What a folder's files take."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


if __name__ == "__main__":
    try:
        print(make_pocket(*sys.argv[1:3]))
    except (EngramError, TypeError) as e:
        sys.exit(str(e))
