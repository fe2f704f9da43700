"""The progress bar: speed and time left where stderr is a terminal, nothing where it is none."""

import json
import os
import subprocess
import sys

import pytest

from engram_local.progress import progress_bar, speed_text

CODE = """
import time
from engram_local.progress import progress_bar
with progress_bar() as show:
    for what, unit in (("the rows", "rows"), ("the file", "B")):
        for done in range(0, 6):
            show(what, done * 1000, 10_000, unit)
            time.sleep(0.12)
"""


def test_speeds():
    assert speed_text(1234567.8, "rows") == "1,234,568 rows/s"
    assert speed_text(2**20, "B") == "1.0 MiB/s"
    assert speed_text(None, "rows") == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_in_a_terminal():
    master, slave = os.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    process = subprocess.Popen([sys.executable, "-c", CODE], stderr=slave, env=env)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # how Linux says that the other side is gone
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait() == 0
    text = shown.decode()
    assert "the rows" in text and " rows/s" in text and " KiB/s" in text and "50%" in text
    assert "0:00:0" in text  # time left


@pytest.mark.parametrize("style", ["auto", "none"])
def test_elsewhere_it_is_silent(capsys, style):
    with progress_bar(style) as show:
        show("the rows", 1, 2, "rows")
    assert capsys.readouterr() == ("", "")


def test_json_lines_come_now_and_then(capsys):
    with progress_bar("json") as show:
        for done in range(1001):
            show("the rows", done, 1000, "rows")
        show("a file", 7, 0)
    out, err = capsys.readouterr()
    lines = [json.loads(x) for x in err.splitlines()]
    assert out == "" and 3 <= len(lines) < 100
    assert lines[0] == {"what": "the rows", "done": 0, "total": 1000, "unit": "rows"}
    assert lines[-2] == {"what": "the rows", "done": 1000, "total": 1000, "unit": "rows"}
    assert lines[-1] == {"what": "a file", "done": 7, "total": None, "unit": "B"}
