"""A folder under way belongs to one process."""

import subprocess
import sys

import pytest

from engram_local.errors import ModelFolderError
from engram_local.tools.new_folder import new_folder

WRITER = """
import sys
from engram_local.tools.new_folder import new_folder
with new_folder(sys.argv[1], {}) as folder:
    (folder.path / "file").write_text("whole")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_make_one_folder(tmp_path):
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    command = [sys.executable, "-c", WRITER, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        with (
            pytest.raises(ModelFolderError, match=r"out\.partial: another process is writing there"),
            new_folder(out, {}),
        ):
            pass
        writer.communicate("")
    assert writer.returncode == 0
    assert [x.name for x in tmp_path.iterdir()] == ["out"] and (out / "file").read_text() == "whole"
    assert [x.name for x in out.iterdir()] == ["file"]


def test_a_process_that_is_killed_holds_nothing(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        writer.kill()
    with new_folder(tmp_path / "out", {}) as folder:
        assert folder.finished == {}
    assert (tmp_path / "out").is_dir()
