"""Readers of trained checkpoints, one a layout; each yields a CheckpointView."""

from pathlib import Path

from engram_local.errors import CheckpointError
from engram_local.model_folder import MANIFEST
from engram_local.tools.checkpoints import demo, engram_peft, summed, trained
from engram_local.tools.checkpoints.tensors import refuse_pointer
from engram_local.tools.checkpoints.view import TOKENIZER_FILES, CheckpointView

READERS = {reader.LAYOUT: reader for reader in (trained, engram_peft, summed, demo)}


def open_checkpoint(
    path: Path, base: Path | None = None, layout: str | None = None, table: str | Path | None = None
) -> CheckpointView:
    """Read a checkpoint; `layout` None finds it out; `table` says where the rows of an adapter lie that does not hold
    them. Raises CheckpointError, naming the file and the way out."""
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or folder")
    if (path / MANIFEST).is_file():
        raise CheckpointError(
            f"{path}: is a model folder already, made to run as it is; engram-local quantize encodes its tables anew, "
            "engram-local attach joins them with a GGUF"
        )
    if base is not None and not Path(base).is_dir():
        raise CheckpointError(f"{base}: no such folder; --base takes the Hugging Face folder of the base model")
    if layout is not None and layout not in READERS:
        raise CheckpointError(f"layout {layout!r} is unknown; the layouts are {', '.join(READERS)}")
    for name, reader in READERS.items():
        if layout == name or (layout is None and reader.matches(path)):
            folder = None if base is None else Path(base)
            if table is None:
                view = reader.read(path, folder)
            elif reader is engram_peft:
                view = engram_peft.read(path, folder, Path(table))
            else:
                raise CheckpointError(f"{path}: of layout {name} holds its table itself; leave --table out")
            for file in (*(view.base / x for x in TOKENIZER_FILES), *path.glob("adapter_model.*")):
                refuse_pointer(file)  # the others have been read
            return view
    raise CheckpointError(f"{path}: is of no known layout ({', '.join(READERS)}); docs/export.md describes each")
