"""Folders and files that get their name when they are finished: whatever makes a model writes through them.

While a process makes one nobody else can: it holds a lock on what lies beside under the name + ".partial".
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from engram_local.errors import ModelFolderError
from engram_local.sizes import format_size

try:
    import fcntl
except ImportError:  # Windows: nothing there keeps two runs apart
    fcntl = None

JOB_FILE = "job.json.partial"  # no model has a file that ends in .partial
NEW_JOB_FILE = f"new-{JOB_FILE}"


class NewFolder:
    """The folder under way. `path` is where its files go; `finished` says which tables an interrupted run of the same
    job left there, by name, and what was reported of each.
    """

    def __init__(self, path: Path, job: dict, finished: dict):
        self.path, self.finished = path, finished
        self._job = job

    def finish(self, name: str, report: dict) -> None:
        """Remember that file `name` is complete: another run of the same job need not make it again."""
        self.finished[name] = report
        self.save()

    def save(self) -> None:
        """Write what is finished, for a later call to go on with."""
        new = self.path / NEW_JOB_FILE
        new.write_text(json.dumps({"job": self._job, "finished": self.finished}), encoding="utf-8")
        os.replace(new, self.path / JOB_FILE)


@contextmanager
def new_folder(out: str | Path, job: dict) -> Iterator[NewFolder]:
    """Makes the folder `out` + ".partial", which is renamed to `out` when the block ends.

    An exception removes it. KeyboardInterrupt leaves it where a table is finished, and so does the end of the process;
    the next `new_folder` of an equal `job` (JSON: everything that the tables depend on) finds what was finished, any
    other starts from nothing.
    Raises ModelFolderError where `out` exists or another process is making it, or for what the system says about
    writing.
    """
    out = Path(out)
    refuse_existing(out)
    partial = Path(f"{out}.partial")
    with held(partial):
        refuse_existing(out)  # who held the lock until now may have finished
        folder = _open(partial, job)
        try:
            folder.save()
            yield folder
            partial.rename(out)
            (out / JOB_FILE).unlink()
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise ModelFolderError(_reason(error, out)) from error
        except Exception:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        except KeyboardInterrupt:
            if not folder.finished:
                shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def held(partial: Path) -> Iterator[None]:
    """Makes the folder and keeps others from writing it, however this process ends. Raises ModelFolderError."""
    try:
        partial.mkdir(parents=True, exist_ok=True)
        handle = os.open(partial, os.O_RDONLY) if fcntl else None
    except OSError as error:
        raise ModelFolderError(_reason(error, partial)) from error
    try:
        if handle is not None:
            _lock(handle, partial)
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def new_file(out: str | Path) -> Iterator[BinaryIO]:
    """A file to write, which is there as `out` when the block ends well; otherwise nothing is left.

    Raises ModelFolderError where `out` exists or another process is making it, or for what the system says about
    writing.
    """
    out = Path(out)
    refuse_existing(out)
    partial = Path(f"{out}.partial")
    try:
        with open(partial, "ab") as file:  # not "wb": it may be somebody's who holds the lock
            _lock(file.fileno(), partial)
            try:
                refuse_existing(out)  # who held the lock until now may have finished
                file.truncate(0)
                yield file
                file.flush()
                os.replace(partial, out)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ModelFolderError(_reason(error, out)) from error


def _lock(handle: int, partial: Path) -> None:
    """Hold what `handle` is open on until it is closed; `partial` is its name."""
    if not fcntl:
        return
    busy = f"{partial}: another process is writing there; let it finish, or choose another name"
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(handle)
        if not partial.exists() or (found.st_dev, found.st_ino) != (partial.stat().st_dev, partial.stat().st_ino):
            raise ModelFolderError(busy)  # another one finished between opening and locking
    except BlockingIOError as error:
        raise ModelFolderError(busy) from error
    except OSError:  # this file system has no locks
        pass


def refuse_existing(out: str | Path) -> None:
    """ModelFolderError where something has the name already, or where nothing can be made."""
    if os.path.lexists(out):
        raise ModelFolderError(f"{out}: exists already; choose another name or remove it")
    parent = next(p for p in Path(out).absolute().parents if p.exists())
    if not parent.is_dir():
        raise ModelFolderError(f"{out}: cannot be made: {parent} is a file; choose another place")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ModelFolderError(f"{out}: cannot be made: no permission for {parent}; choose another place")


def check_space(out: str | Path, n_bytes: int, way_out: str = "make room") -> None:
    """ModelFolderError where `out`'s disk has not `n_bytes` left; what an interrupted run left counts as room."""
    parent = next(p for p in Path(out).absolute().parents if p.exists())
    free = shutil.disk_usage(parent).free
    free += sum(x.stat().st_size for x in Path(f"{Path(out)}.partial").rglob("*") if x.is_file())
    if free < n_bytes:
        raise ModelFolderError(
            f"{out}: needs about {format_size(n_bytes)}, {parent} has {format_size(free)} free; {way_out}"
        )


def _reason(error: OSError, out: Path) -> str:
    what = error.strerror or f"cannot be written whole, the disk is full or the file may not grow ({error})"  # NumPy's
    return f"{error.filename or out}: {what}; {out} was not made"


def _open(partial: Path, job: dict) -> NewFolder:
    job, finished = json.loads(json.dumps(job)), {}
    try:
        names = {x.name for x in partial.iterdir()}
        if names - {NEW_JOB_FILE} and JOB_FILE not in names:
            raise ModelFolderError(f"{partial}: is not what an interrupted run left; move it away")
        if JOB_FILE in names:
            with suppress(ValueError, LookupError):  # a power cut may have left it empty
                left = json.loads((partial / JOB_FILE).read_text(encoding="utf-8"))
                if left["job"] == job:
                    finished = {name: x for name, x in left["finished"].items() if (partial / name).is_file()}
        for file in partial.rglob("*"):
            if not file.is_dir() and file.relative_to(partial).as_posix() not in (JOB_FILE, *finished):
                file.unlink()
    except OSError as error:
        raise ModelFolderError(_reason(error, partial)) from error
    return NewFolder(partial, job, finished)
