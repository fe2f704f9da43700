"""Nothing that runs a model writes to the home folder or speaks to the network: the package's dependencies included."""

import os
import re
import shutil
import subprocess
import sys

import pytest

COMMANDS = {
    "onnx": ("generate", "--prompt", "Who are you?", "--max-tokens", "4"),
    "gguf": ("generate", "--backend", "gguf", "--prompt", "Who are you?", "--max-tokens", "4"),
    "chat": ("chat",),
    "verify": ("verify", None),
}


def run(home, name, *before, **environment):
    from engram_local.model_folder import POCKET

    arguments = [str(POCKET) if x is None else x for x in COMMANDS[name]]
    own = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY", "PYTHONPYCACHEPREFIX")
    env = {x: y for x, y in os.environ.items() if x not in own}
    env |= {"HOME": str(home), "XDG_STATE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [*before, sys.executable, "-m", "engram_local.cli", *arguments]
    done = subprocess.run(command, input="Hello\n", capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("name", COMMANDS)
def test_no_file_and_no_connection(tmp_path, name):
    if name in ("gguf", "verify"):
        pytest.importorskip("llama_cpp")
    home = tmp_path / "home"
    home.mkdir()
    log = tmp_path / "log"
    strace = shutil.which("strace")
    run(home, name, *((strace, "-f", "-qq", "-e", "trace=socket,connect", "-o", log) if strace else ()))
    assert list(home.rglob("*")) == []
    if strace:
        calls = [
            x for x in log.read_text().splitlines() if "AF_UNIX" not in x and re.search(r"\b(socket|connect)\(", x)
        ]
        assert calls == []


def test_whoever_wants_the_telemetry_can_have_it(tmp_path):
    run(tmp_path, "onnx", ORT_DISABLE_TELEMETRY="0")
    code = "import os, engram_local; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, found in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        env = {x: y for x, y in os.environ.items() if x != "ORT_DISABLE_TELEMETRY"} | given
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == found
