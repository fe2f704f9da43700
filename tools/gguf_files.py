"""What the headers of a published GGUF say, of one file or of all parts of a split. No weights are read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engram_local.errors import ModelFolderError
from engram_local.tables.gguf_header import DAMAGE, GgufHeader, GgufTensor, read_gguf_header
from engram_local.tables.headers import LfsPointerError, refuse_lfs_pointer

PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
WANTED = re.compile(r"general\.architecture|split\..*|[^.]+\.((ple|engram)\..*|[a-z_]+|attention\.[a-z_]+)")


@dataclass(frozen=True)
class GgufFiles:
    """A GGUF's files in order, and what their headers say together."""

    files: tuple[Path, ...]
    architecture: str
    keys: dict[str, Any]  # without the architecture's name in front
    counts: dict[str, int]  # entries of arrays that were passed over, by their full key
    tensors: dict[str, tuple[Path, GgufTensor]]

    @property
    def path(self) -> Path:
        """The first file, which errors name."""
        return self.files[0]

    @property
    def n_tokens(self) -> int:
        """Of the vocabulary; by the embedding where the file has no tokenizer."""
        embedding = self.tensors.get("token_embd.weight")
        return self.counts.get("tokenizer.ggml.tokens") or (embedding[1].shape[0] if embedding else 0)

    def get(self, key: str) -> Any:
        """The value of a key. Raises ModelFolderError where the file does not have it."""
        if key not in self.keys:
            raise ModelFolderError(
                f"{self.path}: has no key {key}; it was made without its n-gram layer, or by other tools"
            )
        return self.keys[key]


def read_gguf_files(path: str | Path) -> GgufFiles:
    """The file `path`, or all parts of the split that it is the first of. Raises ModelFolderError."""
    files = parts_of(Path(path))
    headers = [_header(x) for x in files]
    _check_parts(files, headers)
    values = {key: value for header in headers for key, value in header.values.items()}
    architecture = str(values.get("general.architecture"))
    return GgufFiles(
        tuple(files),
        architecture,
        {key.removeprefix(f"{architecture}."): value for key, value in values.items()},
        {key: n for header in headers for key, n in header.counts.items()},
        {name: (file, x) for file, header in zip(files, headers, strict=True) for name, x in header.tensors.items()},
    )


def _check_parts(files: list[Path], headers: list[GgufHeader]) -> None:
    """ModelFolderError where the parts do not make one model: a tensor twice, or not as many as the first part says."""
    place: dict[str, Path] = {}
    for file, header in zip(files, headers, strict=True):
        for name in header.tensors:
            if name in place:
                raise ModelFolderError(
                    f"{file}: holds tensor {name[:60]!r}, which {place[name].name} has too; one of them is a part of "
                    "another model: fetch it again"
                )
            place[name] = file
    expected = headers[0].values.get("split.tensors.count")
    if len(files) > 1 and expected is not None and expected != len(place):
        raise ModelFolderError(
            f"{files[0]}: is split into parts of {expected} tensors, those here have {len(place)}; one of them is of "
            "another model: fetch it again"
        )


def parts_of(gguf: Path) -> list[Path]:
    """The file, or all parts of the split that it is the first of. Raises ModelFolderError where one is missing."""
    count = _header(gguf).values.get("split.count", 1)
    if count <= 1:
        return [gguf]
    match = PART.fullmatch(gguf.name)
    if match is None or int(match[3]) != count:
        raise ModelFolderError(f"{gguf}: is one of {count} parts, but not named -00001-of-{count:05}.gguf; rename them")
    files = [gguf.with_name(f"{match[1]}-{i + 1:05}-of-{count:05}.gguf") for i in range(count)]
    for i, file in enumerate(files):
        if not file.is_file():
            raise ModelFolderError(f"{file}: part {i + 1} of {count} is missing; fetch it")
        found = _header(file).values
        if (found.get("split.no"), found.get("split.count")) != (i, count):
            raise ModelFolderError(f"{file}: is not part {i + 1} of {count}; fetch it again")
    return files


def _header(path: Path) -> GgufHeader:
    try:
        with open(path, "rb") as file:
            refuse_lfs_pointer(file)
            return read_gguf_header(file, lambda key: WANTED.fullmatch(key) is not None)
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read ({error.strerror or error})") from error
    except LfsPointerError as error:
        raise ModelFolderError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise ModelFolderError(f"{path}: is no GGUF, or its header is damaged ({str(error)[:160]})") from error
