"""Every block of README.md can be pasted in a clone, prints what it says, and leaves nothing that git would track.

```sh blocks hold commands and, behind each, what it prints as comments: `# ...` stands for any lines, 0.96 for any
number with two decimals, and a command without any may print what it likes. ```python blocks are scripts.

What is left out, by rule: commands that set a clone up (SETUP), which CI runs for itself; and blocks in which one of
them installs an extra (`pip install -e '.[export]'`): those run where it is, in tests/parity/test_readme_export.py.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import engram_local

README = Path(__file__).parents[1] / "README.md"
SETUP = ("make ", "pip ", ". ")


def fences(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)


def needs_extra(block: str) -> bool:
    return re.search(r"^pip install .*\[", block, re.M) is not None


def steps(block: str) -> list[tuple[str, str]]:
    """`a\\n# out\\nb` -> [("a", "out\\n"), ("b", "")]; a command goes on while its line ends in a backslash."""
    found = re.findall(r"^([^#\s](?:.*\\\n)*.*)\n((?:#.*\n)*)", block, re.M)
    assert found, f"no command in the README block:\n{block}"
    return [(command, re.sub(r"^# ?", "", output, flags=re.M)) for command, output in found]


def run(command: list[str] | str, cwd: Path) -> str:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120"}
    done = subprocess.run(
        command, shell=isinstance(command, str), cwd=cwd, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def assert_matches(output: str, expected: str, command: str) -> None:
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line.rstrip()) + r"\s*?\n" for line in expected.splitlines()
    )
    pattern = re.sub(r"\b\d\\\.\d\d\b", r"\\d\\.\\d\\d", pattern)
    assert re.fullmatch(pattern, output if output.endswith("\n") or not output else output + "\n"), (
        f"$ {command}\nprinted\n{output}\nthe README says\n{expected}"
    )


def run_block(block: str, folder: Path) -> None:
    for command, expected in steps(block):
        if not command.startswith(SETUP):
            output = run(command, folder)
            if expected:
                assert_matches(output, expected, command)


def make_clone(folder: Path) -> Path:
    """The package and what git ignores, as in a clone; all that is there is tracked."""
    (folder / "engram_local").symlink_to(Path(engram_local.__file__).parent)
    shutil.copy(README.parent / ".gitignore", folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a clone"]):
        subprocess.run([*git, *arguments], check=True, capture_output=True)
    return folder


def assert_clean(folder: Path) -> None:
    status = subprocess.run(["git", "-C", str(folder), "status", "--porcelain"], capture_output=True, text=True)
    assert (status.returncode, status.stdout) == (0, ""), "the README's blocks leave something behind"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all blocks: a later one reads what an earlier one wrote."""
    if shutil.which("git") is None or not (README.parent / ".gitignore").exists():
        pytest.skip("needs git, and a clone")
    folder = make_clone(tmp_path_factory.mktemp("readme"))
    yield folder
    assert_clean(folder)


def test_commands(folder):
    blocks = [x for x in fences("sh") if not needs_extra(x)]
    if find_spec("llama_cpp") is None:
        blocks = [x for x in blocks if "engram-local link" not in x]
    assert sum(command.startswith("engram-local") for x in blocks for command, _ in steps(x)) > 4
    for block in blocks:
        run_block(block, folder)


def test_python(folder):
    for block in fences("python"):
        run([sys.executable, "-c", block], folder)


def test_every_block_is_run_or_left_out_by_rule():
    kinds = re.findall(r"^```(\S*)", README.read_text(encoding="utf-8"), re.M)
    assert set(kinds) - {""} == {"sh", "python"} and kinds[1::2] == [""] * (len(kinds) // 2)
    left_out = [x for block in fences("sh") for x, _ in steps(block) if x.startswith(SETUP)]
    assert [x.split()[0] for x in left_out] == ["make", "make", ".", "pip", "make"]


def test_how_a_block_is_read():
    block = "make x    # why\necho 1; \\\n  echo 2\n# 1\n# 2\n\n# a remark\necho 0.25\n# 0.96\n"
    assert steps(block) == [("make x    # why", ""), ("echo 1; \\\n  echo 2", "1\n2\n"), ("echo 0.25", "0.96\n")]
    assert_matches("a\nb\n0.25\n", "a\n...\n0.96\n", "")
    for printed, said in (("a\n", "b\n"), ("0.25\n", "0.9\n"), ("10.25\n", "0.96\n")):
        with pytest.raises(AssertionError):
            assert_matches(printed, said, "")


def test_what_is_left_behind_is_found(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("needs git")
    folder = make_clone(tmp_path)
    (folder / "build").mkdir()
    (folder / "build" / "ignored").write_text("")
    assert_clean(folder)
    (folder / "left").write_text("")
    with pytest.raises(AssertionError, match="leave something behind"):
        assert_clean(folder)
