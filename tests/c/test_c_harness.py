"""The C sources without Python around them, on this system; `make arm64` and its like run the same elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which(os.environ.get("CC", "cc")), reason="no C compiler")
def test_kernels_cache_and_reader_in_plain_c():
    pytest.importorskip("gguf")
    cases = [sys.executable, "tests/c/cases.py", "build/c/cases.bin"]
    subprocess.run(cases, cwd=ROOT, check=True)
    done = subprocess.run(["sh", "tests/c/run.sh"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    passed, failed = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.M).groups()
    assert (done.returncode, int(failed)) == (0, 0) and int(passed) > 900, done.stdout + done.stderr
    assert "warning" not in done.stderr, done.stderr
