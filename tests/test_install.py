"""What an installation, or the lack of one, says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import engram_local
from engram_local.model_folder import POCKET


def test_the_source_folder_says_that_it_is_not_installed(tmp_path):
    """`pip install .`, then Python in the clone: the source folder comes first on the path and has no extension."""
    package = Path(engram_local.__file__).parent
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "pocket", "__pycache__")
    shutil.copytree(package, tmp_path / "engram_local", ignore=ignored)
    command = [sys.executable, "-c", "import engram_local; engram_local.load()"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith(f"ImportError: {tmp_path / 'engram_local'} holds the sources"), done.stderr
    assert "pip install -e ." in last


def test_an_install_of_hard_links(tmp_path):
    """As uv and pipx make them from their cache."""
    shutil.copytree(POCKET, tmp_path / "cache")
    shutil.copytree(tmp_path / "cache", tmp_path / "installed", copy_function=os.link)
    with engram_local.load(tmp_path / "installed", backend="onnx", threads=1) as model:
        assert "".join(model.generate("What is the capital of France?")) == "The capital of France is Paris."
