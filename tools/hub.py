"""Fetches a model folder or a packed one from the Hugging Face hub, or whatever speaks its API at HF_ENDPOINT.

What has come stays where it is when a run ends early, and the next one goes on behind it: the manifest's sha256 decides
what is whole. huggingface_hub finds the repository, sends the user's token and retries; it is imported here alone.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from engram_local.errors import EngramError, MissingSoftwareError, ModelFolderError, UsageError
from engram_local.model_folder import MANIFEST, check_manifest, read_json, sha256
from engram_local.progress import Progress
from engram_local.tools.archive import MAX_MANIFEST_BYTES, unpack
from engram_local.tools.new_folder import check_space, held, refuse_existing

ARCHIVE = ".tar.zst"


def get(
    repo: str,
    out: Path,
    *,
    revision: str | None = None,
    file: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the model folder `out` of the repository `repo`.

    Parameters: revision: branch, tag or commit; file: the archive to take, where there are several.
    Returns:    {"repo", "commit", "bytes"}.
    Raises:     UsageError for a name that is none; EngramError where the repository cannot be reached; ModelFolderError
                where it holds no model, or one that is not as its manifest says. `out` is not there then.
    """
    refuse_existing(out)
    hub = _Hub(repo, revision, progress)
    archives = [x for x in hub.files if x.endswith(ARCHIVE)]
    if file is None and MANIFEST in hub.files:
        n_bytes = _get_folder(hub, out)
    elif file is not None or len(archives) == 1:
        n_bytes = _get_archive(hub, file or archives[0], out)
    else:
        found = f"neither a {MANIFEST} nor a {ARCHIVE}: no model of engram_local (engram-local export makes one)"
        if archives:
            found = f"several archives ({', '.join(archives[:5])}); name one with --file"
        raise ModelFolderError(f"{repo}: holds {found}")
    return {"repo": repo, "commit": hub.commit, "bytes": n_bytes}


def _get_folder(hub: "_Hub", out: Path) -> int:
    partial = Path(f"{out}.partial")
    with held(partial):
        refuse_existing(out)  # who held the lock until now may have finished
        listed = partial / f"{MANIFEST}.partial"  # it gets its name when all it lists is there
        files = _fetch_manifest(hub, listed)
        check_space(out, sum(x["bytes"] for x in files.values()))
        for name, entry in files.items():
            _get_whole(hub, name, partial / name, entry)
        for path in sorted(partial.rglob("*"), reverse=True):  # of another revision
            if path != listed and path.is_file() and path.relative_to(partial).as_posix() not in files:
                path.unlink()
        listed.rename(partial / MANIFEST)
        partial.rename(out)
    return sum(x["bytes"] for x in files.values())


def _fetch_manifest(hub: "_Hub", path: Path) -> dict[str, dict[str, Any]]:
    """The manifest's files, once it is at `path` and can be believed so far."""
    try:
        path.unlink(missing_ok=True)
        hub.fetch(MANIFEST, path, MAX_MANIFEST_BYTES)
        files: dict[str, Any] = check_manifest(read_json(path), f"{hub.repo}: {MANIFEST}")["files"]
        if path.name in files:
            raise ModelFolderError(f"{hub.repo}: lists {path.name!r}; do not trust this model")
        if missing := [x for x in files if x not in hub.files]:
            raise ModelFolderError(f"{hub.repo}: lacks {missing[0]}, which its {MANIFEST} lists")
        return files
    except EngramError:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # something is there that an earlier run fetched
            path.parent.rmdir()
        raise


def _get_whole(hub: "_Hub", name: str, path: Path, entry: dict[str, Any]) -> None:
    """Fetch what is missing of a file until it is the one that the manifest lists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = entry["bytes"]
    begun = path.stat().st_size if path.is_file() else 0
    for have in (begun, 0) if 0 < begun <= size else (0,):  # once more from the start where the beginning was wrong
        if have == 0:
            path.write_bytes(b"")
        if have < size:
            hub.fetch(name, path, size)
        if path.stat().st_size == size and sha256(path) == entry["sha256"]:
            return
    path.unlink()
    raise ModelFolderError(f"{hub.repo}: {name} is not the file that its {MANIFEST} lists; do not trust this model")


def _get_archive(hub: "_Hub", name: str, out: Path) -> int:
    if name not in hub.files:
        raise UsageError(f"{hub.repo}: holds no {name[:80]!r}")
    size = hub.files[name]
    archive = Path(f"{out}{ARCHIVE}.partial")
    archive.parent.mkdir(parents=True, exist_ok=True)
    if size is None or (archive.is_file() and archive.stat().st_size > size):
        archive.unlink(missing_ok=True)
    if size is None or not archive.is_file() or archive.stat().st_size < size:
        hub.fetch(name, archive, size or 2**62)
    try:
        unpack(str(archive), out, progress=hub.progress)
    finally:  # damaged, or of no use any more
        archive.unlink(missing_ok=True)
    return sum(x.stat().st_size for x in out.rglob("*") if x.is_file())


class _Hub:
    """One repository at one commit. `files`: {name: bytes, None where the hub does not say}."""

    def __init__(self, repo: str, revision: str | None, progress: Progress | None):
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import huggingface_hub
            from huggingface_hub.errors import HFValidationError
            from huggingface_hub.utils import disable_progress_bars, logging
        except ImportError as error:
            raise MissingSoftwareError(f"huggingface_hub: {error}; pip install 'engram_local[hub]'") from error
        disable_progress_bars()
        logging.set_verbosity_error()
        self.repo, self.progress = repo, progress
        try:
            huggingface_hub.utils.validate_repo_id(repo)
        except HFValidationError as error:
            raise UsageError(f"{repo[:96]!r} is no repository; write OWNER/NAME") from error
        api = huggingface_hub.HfApi()
        info = self._ask(lambda: api.model_info(repo, revision=revision, files_metadata=True), "nothing was written")
        self.commit: str = info.sha
        self.files = {x.rfilename: x.size for x in info.siblings or ()}

    def fetch(self, name: str, path: Path, most: int) -> None:
        """Append to `path` what the file `name` has behind its first bytes, which are there. Raises ModelFolderError
        for a file of more than `most` bytes."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        url, headers = hf_hub_url(self.repo, name, revision=self.commit), build_hf_headers()
        with open(path, "ab") as raw:
            have = raw.tell()
            file: Any = _Bounded(raw, most, name, self)
            self._ask(
                lambda: http_get(url, file, resume_size=have, headers=headers),
                "what has come is kept, the same command goes on behind it",
            )

    def _ask(self, call: Callable[[], Any], left: str) -> Any:
        """What huggingface_hub answers. Its errors, and those of the HTTP clients that it has had, share no base."""
        try:
            return call()
        except EngramError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise EngramError(f"{self.repo}: cannot be fetched ({reason}); {left}") from error


class _Bounded:
    """A file that takes no more than it should, and tells of its progress."""

    def __init__(self, file: BinaryIO, most: int, name: str, hub: _Hub):
        self._file, self._most, self._name, self._hub = file, most, name, hub

    def write(self, data: bytes) -> int:
        end = self._file.tell() + len(data)
        if end > self._most:
            raise ModelFolderError(f"{self._hub.repo}: {self._name} has more than {self._most} bytes; do not trust it")
        if self._hub.progress:
            self._hub.progress(self._name, end, self._most if self._most < 2**62 else 0)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
