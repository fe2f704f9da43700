"""Models by name: the folders in one folder of the user's, which ENGRAM_LOCAL_MODELS names. tools/hub.py fills it."""

import os
import re
import shutil
from pathlib import Path

from engram_local.errors import EngramError, ModelFolderError, UsageError
from engram_local.machine import user_folder

VARIABLE = "ENGRAM_LOCAL_MODELS"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def models_folder() -> Path:
    """Where models with names lie; it need not be there."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return user_folder("XDG_DATA_HOME", "LOCALAPPDATA", ".local/share") / "models"


def place_of(name: str) -> Path:
    """The folder of the model `name`, which need not be there. Raises UsageError for what can be no name, and so could
    lead out of the models folder."""
    if not _NAME.fullmatch(name) or name.endswith((".partial", ".")):
        raise UsageError(f"{name[:96]!r} is no model's name; letters, digits, dots, dashes and underscores make one")
    return models_folder() / name


def find(model: str) -> Path:
    """What MODEL means: a path where there is one, else a name. Raises ModelFolderError where it is neither."""
    if os.path.lexists(model):
        return Path(model)
    try:
        place = place_of(model)
    except UsageError:
        raise ModelFolderError(f"{model}: no such folder") from None
    if not place.is_dir():
        raise ModelFolderError(
            f"{model}: no such folder, and no model of that name in {models_folder()} (engram-local list)"
        )
    return place


def installed() -> list[tuple[str, int]]:
    """(name, bytes) of every model that has a name, in order."""
    folder, found = models_folder(), []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            n_bytes = _size(place_of(path.name))
        except EngramError:
            continue
        found.append((path.name, n_bytes))
    return found


def size_of(name: str) -> int:
    """Bytes of an installed model. Raises UsageError, ModelFolderError where `name` is none."""
    place = place_of(name)
    if not os.path.lexists(place):
        raise ModelFolderError(f"{name}: no model of that name in {models_folder()} (engram-local list)")
    return _size(place)


def remove(name: str) -> None:
    """Delete an installed model. Raises UsageError, ModelFolderError: nothing but a model folder that lies in the
    models folder itself is ever touched."""
    size_of(name)
    place = place_of(name)
    going = place.with_name(f".{name}.removed.partial")  # whatever is left of it when this is interrupted is no model
    try:
        if going.exists():
            shutil.rmtree(going)
        place.rename(going)
        shutil.rmtree(going)
    except OSError as error:
        raise ModelFolderError(f"{error.filename or place}: cannot be removed: {error.strerror or error}") from error


def _size(place: Path) -> int:
    from engram_local.model_folder import read_manifest

    if place.is_symlink():
        raise ModelFolderError(f"{place}: is a link to somewhere else; it is yours to remove")
    return sum(x["bytes"] for x in read_manifest(place)["files"].values())
