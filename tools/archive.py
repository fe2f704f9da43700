"""A model folder as one file: a tar archive, compressed with zstandard, that can be written and read as a stream.

The manifest comes first, so whoever unpacks knows every name, size and sha256 before the first byte of a file; what is
not listed, larger, other than listed, or no plain file is refused. `tar --zstd -xf` reads the archive too.
"""

import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import zstandard

from engram_local.errors import ModelFolderError, UsageError
from engram_local.graph_names import GGUF_LINK_FILE
from engram_local.model_folder import MANIFEST, ModelFolder, check_manifest
from engram_local.progress import Progress
from engram_local.tools.new_folder import check_space, new_file, new_folder, refuse_existing

LEVEL = 3
MAX_WINDOW_BYTES = 128 << 20  # memory that an archive may make its reader take
MAX_NAME_BYTES = 100  # of a tar header
MAX_FILES = 10_000
MAX_MANIFEST_BYTES = 16 << 20
BLOCK = tarfile.BLOCKSIZE
COPY_BYTES = 1 << 20
READ_BYTES = 4096  # compressed: they can stand for up to 128 MiB


def pack(model: str | Path, file: str, progress: Progress | None = None) -> None:
    """Write the archive `file` ("-": stdout) of the folder `model`; all cores compress.

    Each file is compared with the manifest's sha256 on the way. Raises ModelFolderError, and leaves nothing at `file`
    then; a folder whose tables are linked is refused, for its rows lie elsewhere.
    """
    folder = ModelFolder.open(model)
    files = folder.manifest["files"]
    for layer in folder.engram.layers:
        if layer.linked:
            raise ModelFolderError(
                f"{folder.file(layer.table)}: points at rows outside the folder; engram-local quantize copies them "
                "into a folder that can be packed"
            )
    if folder.lists(GGUF_LINK_FILE):
        raise ModelFolderError(
            f"{folder.file(GGUF_LINK_FILE)}: points at a GGUF outside the folder; send the GGUF, and link it there"
        )
    for name in files:
        if len(name.encode()) > MAX_NAME_BYTES:
            raise ModelFolderError(f"{folder.path / name}: the name is longer than {MAX_NAME_BYTES} bytes; shorten it")
    manifest = json.dumps(folder.manifest, indent=1).encode() + b"\n"
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=-1)
    with _output(file) as raw, compressor.stream_writer(raw, closefd=False) as stream:
        _write_header(stream, MANIFEST, len(manifest))
        stream.write(manifest + _padding(len(manifest)))
        for name, entry in files.items():
            _write_header(stream, name, entry["bytes"])
            with open(folder.file(name), "rb") as source:
                _copy(source, stream, name, entry, str(folder.path / name), progress)
            stream.write(_padding(entry["bytes"]))
        stream.write(bytes(2 * BLOCK))


def unpack(file: str, out: str | Path, progress: Progress | None = None) -> None:
    """Make the folder `out` of an archive ("-": stdin). Raises ModelFolderError; `out` is then not there."""
    refuse_existing(out)
    with _input(file) as raw:
        source = _Source(raw, file)
        members = _members(source)
        manifest = _read_manifest(source, members)
        missing = dict(manifest["files"])
        check_space(out, sum(x["bytes"] for x in missing.values()))
        with new_folder(out, {"command": "unpack"}) as folder:
            for name, size in members:
                if name not in missing:
                    raise source.bad(f"holds {name[:80]!r}, which its manifest does not list or lists once")
                entry = missing.pop(name)
                if size != entry["bytes"]:
                    raise source.bad(f"{name} has {size} bytes, its manifest says {entry['bytes']}")
                path = folder.path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(path, "xb") as target:
                    _copy(source, target, name, entry, f"{file}: {name}", progress)
                source.read_padding(size)
            if missing:
                raise source.bad(f"lacks {min(missing)}")
            source.finish()
            (folder.path / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


class _Source:
    """The decompressed archive; `read` gives exactly what is asked for."""

    def __init__(self, raw: BinaryIO, name: str):
        self.name = name
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompressobj()
        self._ready = memoryview(b"")

    def bad(self, problem: str) -> ModelFolderError:
        return ModelFolderError(f"{self.name}: {problem}; fetch the archive again, or do not trust it")

    def read(self, n: int) -> bytes:
        parts = []
        while n:
            part = self._some(n)
            if not part:
                raise self.bad("ends too early")
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def read_padding(self, size: int) -> None:
        self.read(-size % BLOCK)

    def finish(self) -> None:
        """Read to the end of the frame, where its own checksum is compared; nothing may follow it."""
        n = 0
        while part := self._some(COPY_BYTES):
            n += len(part)
            if part.strip(b"\0") or n >= COPY_BYTES:
                raise self.bad("holds more than its manifest lists")
        if not self._frame.eof:
            raise self.bad("ends too early")
        if self._frame.unused_data or self._raw.read(1):
            raise self.bad("holds something behind its end")

    def _some(self, n: int) -> bytes:
        """At most n bytes, none at the end of the frame or of the file."""
        while not self._ready and not self._frame.eof and (data := self._raw.read(READ_BYTES)):
            try:
                self._ready = memoryview(self._frame.decompress(data))
            except zstandard.ZstdError as error:
                raise self.bad(f"cannot be decompressed ({error})") from error
        part, self._ready = bytes(self._ready[:n]), self._ready[n:]
        return part


def _members(source: _Source) -> Iterator[tuple[str, int]]:
    """(name, size) of each plain file, up to the end mark; the caller reads its content before the next."""
    while any(block := source.read(BLOCK)):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise source.bad(f"is no tar archive ({error})") from error
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise source.bad(f"holds {info.name[:80]!r}, which is no plain file (tar type {info.type!r})")
        if info.size < 0:
            raise source.bad(f"holds {info.name[:80]!r} of {info.size} bytes")
        yield info.name, info.size


def _read_manifest(source: _Source, members: Iterator[tuple[str, int]]) -> dict:
    name, size = next(members, ("", 0))
    if name != MANIFEST or size > MAX_MANIFEST_BYTES:
        raise source.bad(f"does not begin with {MANIFEST}, but with {name[:80]!r} of {size} bytes")
    try:
        manifest = json.loads(source.read(size))
    except (ValueError, RecursionError) as error:
        raise source.bad(f"{MANIFEST} is not JSON ({str(error)[:80]})") from error
    source.read_padding(size)
    check_manifest(manifest, f"{source.name}: {MANIFEST}")
    if len(manifest["files"]) > MAX_FILES:
        raise source.bad(f"lists {len(manifest['files'])} files, more than {MAX_FILES}")
    return manifest


def _write_header(stream: BinaryIO, name: str, size: int) -> None:
    info = tarfile.TarInfo(name)  # no time, no owner: the same folder gives the same archive
    info.size = size
    stream.write(info.tobuf(tarfile.GNU_FORMAT, "utf-8"))


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _copy(source, target, name: str, entry: dict, where: str, progress: Progress | None) -> None:
    """Copy a file's bytes and compare them with its entry in the manifest."""
    digest, done = hashlib.sha256(), 0
    while done < entry["bytes"]:
        part = source.read(min(COPY_BYTES, entry["bytes"] - done))
        if not part:
            break
        digest.update(part)
        target.write(part)
        done += len(part)
        if progress:
            progress(name, done, entry["bytes"])
    if digest.hexdigest() != entry["sha256"]:
        raise ModelFolderError(f"{where}: does not match the sha256 of the manifest; fetch or export the model again")


@contextmanager
def _output(file: str) -> Iterator[BinaryIO]:
    """A file that is there when the block ends well; "-" is stdout."""
    if file == "-":
        if sys.stdout.isatty():
            raise UsageError("an archive is no text for a terminal; give a file, or pipe it on")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with new_file(file) as raw:
        yield raw


@contextmanager
def _input(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        raw = open(file, "rb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ModelFolderError(f"{file}: cannot be read ({error.strerror})") from error
    with raw:
        yield raw
