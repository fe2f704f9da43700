"""Making a model folder speaks to nobody either, whatever its libraries would like to ask a hub."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from engram_local.tools.export.example import make_checkpoint

pytest.importorskip("torch")


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("backend", ["onnx", "gguf"])
def test_an_export_opens_no_connection(tmp_path, backend):
    checkpoint, home, log = make_checkpoint(tmp_path / "checkpoint"), tmp_path / "home", tmp_path / "log"
    home.mkdir()
    trace = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", str(log)]
    command = [sys.executable, "-m", "engram_local.cli", "export", str(checkpoint), str(tmp_path / "out")]
    env = {x: y for x, y in os.environ.items() if not x.startswith(("HF_", "XDG_")) and x != "ORT_DISABLE_TELEMETRY"}
    env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*trace, *command, "--backend", backend], capture_output=True, text=True, timeout=300, env=env
    )
    assert done.returncode == 0, done.stderr
    calls = [x for x in log.read_text().splitlines() if re.search(r"\b(socket|connect)\(", x)]
    assert [x for x in calls if "AF_UNIX" not in x] == []
    assert [x for x in home.rglob("*") if x.is_file()] == []
