"""Whether the distributions in a folder hold what they should and no more: python tests/dist_contents.py dist"""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IN_SDIST = ("ext", "engram_local", "tools", "tests", "docs")
TOP = ("LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "MANIFEST.in", "Makefile", "mkdocs.yml")
BUILD = ("pyproject.toml", "setup.py")
EXTENSIONS = ("engram_local/_native", "engram_local/_llama_callback")


def sources(*folders: str) -> set[str]:
    """Files of this tree, those that building and running leave behind apart."""
    found = (x.relative_to(ROOT) for folder in folders for x in (ROOT / folder).rglob("*") if x.is_file())
    return {x.as_posix() for x in found if "__pycache__" not in x.parts and x.suffix not in (".so", ".pyd")}


def check(name: str, got: set[str], expected: set[str], unreadable: set[str]) -> None:
    problems = {"missing": expected - got, "not expected": got - expected, "not readable by all": unreadable}
    for what, files in problems.items():
        for file in sorted(files):
            print(f"{name}: {what}: {file}", file=sys.stderr)
    if any(problems.values()):
        sys.exit(1)
    print(f"{name}: {len(got)} files, as they should be")


def check_sdist(path: Path) -> None:
    with tarfile.open(path) as archive:
        members = {x.name.partition("/")[2]: x for x in archive if x.isfile()}
    generated = {"PKG-INFO", "setup.cfg"} | {x for x in members if x.startswith("engram_local.egg-info/")}
    unreadable = {name for name, x in members.items() if x.mode & 0o444 != 0o444}
    check(path.name, set(members), sources(*IN_SDIST) | set(TOP) | set(BUILD) | generated, unreadable)


def check_wheel(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {x.filename: x for x in archive.infolist() if not x.is_dir()}
        metadata = archive.read(next(x for x in members if x.endswith("/METADATA"))).decode()
    version = re.search(r'^__version__ = "(.*)"', (ROOT / "engram_local/__init__.py").read_text(), re.M)[1]
    for line in ("Name: engram_local", f"Version: {version}", "License-Expression: Apache-2.0"):
        if line not in metadata.splitlines():
            sys.exit(f"{path.name}: its metadata lack {line!r}")
    if "-linux_" in path.name or "none-any" in path.name:
        sys.exit(f"{path.name}: not a wheel for this system and others like it")
    expected = sources("engram_local") | {f"engram_local/{x}" for x in sources("tools")}
    for extension in EXTENSIONS:
        built = {x for x in members if x.startswith(f"{extension}.") and x.endswith((".so", ".pyd"))}
        expected |= built or {f"{extension}.*"}
    info = f"engram_local-{version}.dist-info"
    files = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    expected |= {f"{info}/{x}" for x in (*files, "licenses/LICENSE", "licenses/engram_local/pocket/NOTICE")}
    expected.add(f"engram_local-{version}.data/data/share/man/man1/engram-local.1")
    expected |= {x for x in members if x.startswith(f"{info}/sboms/")}  # by auditwheel
    unreadable = {name for name, x in members.items() if x.external_attr >> 16 & 0o444 != 0o444}
    check(path.name, set(members), expected, unreadable)


if __name__ == "__main__":
    found = {kind: sorted(Path(sys.argv[1]).glob(f"*{kind}")) for kind in (".tar.gz", ".whl")}
    if not all(found.values()):
        sys.exit(f"{sys.argv[1]} holds no source distribution or no wheel")
    for path in found[".tar.gz"]:
        check_sdist(path)
    for path in found[".whl"]:
        check_wheel(path)
