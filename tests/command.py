"""Runs the command in a process of its own that a signal or a limit of the system meets at a chosen moment."""

import os
import signal
import subprocess
import sys
from pathlib import Path

_CODE = """
import os, sys
from contextlib import contextmanager
from engram_local import cli
from engram_local import progress

@contextmanager
def progress_bar(style="auto"):
    def show(what, done, total, unit="B"):
        if what == {at!r}:
            os.kill(os.getpid(), {signal})
    yield show

progress.progress_bar = progress_bar
cli.main()
"""


def run_and_signal(at: str, signal_number: int, *arguments, **options) -> subprocess.CompletedProcess:
    """Run `engram-local ARGUMENTS`; the process gets the signal when it first reports progress on `at`."""
    code = _CODE.format(at=at, signal=int(signal_number))
    return _run([sys.executable, "-c", code, *map(str, arguments)], **options)


def run_with_file_limit(n_bytes: int, *arguments) -> subprocess.CompletedProcess:
    """Run `engram-local ARGUMENTS` where no file may grow beyond `n_bytes`: writing fails as on a full disk."""
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    return _run([sys.executable, "-m", "engram_local.cli", *map(str, arguments)], preexec_fn=limit)


def _run(command: list, **options) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, **options)


def assert_one_line(done: subprocess.CompletedProcess, code: int, *parts: str) -> None:
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("engram-local: "), done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path in the folder, the manifest apart."""
    return {name: content for name, content in bytes_of(folder).items() if name != "manifest.json"}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path in the folder."""
    return {x.relative_to(folder).as_posix(): x.read_bytes() for x in sorted(folder.rglob("*")) if x.is_file()}


KILL, INTERRUPT = signal.SIGKILL, signal.SIGINT
