"""Every command in README.md runs, and prints what the README says it prints.

Fences: ```console holds `$ command` lines and their expected output (a line of `...` stands for any lines, 0.96 for any
number with two decimals); ```python is run as a script; ```sh holds set-up that CI runs itself. "console export" fences
need a checkpoint: tests/parity/test_readme_export.py runs them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import engram_local

README = Path(__file__).parents[1] / "README.md"


def fences(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)


def steps(block: str) -> list[tuple[str, str]]:
    """`$ a\\nout\\n$ b` -> [("a", "out\\n"), ("b", "")]; a command goes on while its line ends in a backslash."""
    found = re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    assert found, f"no command in the README block:\n{block}"
    return found


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
        output = run(command, folder)
        if expected:
            assert_matches(output, expected, command)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One folder for all blocks: a later one reads what an earlier one wrote. The package lies there as in a clone."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "engram_local").symlink_to(Path(engram_local.__file__).parent)
    return folder


def test_commands(folder):
    for block in fences("console"):
        run_block(block, folder)


def test_python(folder):
    for block in fences("python"):
        run([sys.executable, "-c", block], folder)
