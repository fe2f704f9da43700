"""Standard streams: UTF-8 both ways, never closed, and no foreign text that steers a terminal.

Whatever a model, a file or an error says goes through `show` and `say`: what they print on a terminal holds no control
character but line feed and tab.
"""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engram_local.errors import EngramError
from engram_local.foreign_text import SURROGATES, clean
from engram_local.progress import Progress

_ESCAPED = {i: f"\\u{i:04x}" for i in range(127, 160)}  # in JSON, where json.dumps leaves them


def open_streams() -> None:
    """Make the standard streams fit to be used, before anything else opens a file: one that is closed reads and writes
    /dev/null, all are UTF-8 whatever the locale says. Raises EngramError where stdout is closed."""
    closed = [name for fd, name in enumerate(("stdin", "stdout", "stderr")) if not _is_open(fd)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None or name in closed:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="replace"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):  # what stands in for one in an embedding program knows its own
            stream.reconfigure(encoding="utf-8", errors="replace")
    if "stdout" in closed:
        raise EngramError("stdout is closed; send it to /dev/null where nothing is wanted")


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def typed(text: str) -> str:
    """A text of the command line as UTF-8 says it, whatever the locale; bytes that are none become U+FFFD."""
    try:
        return os.fsencode(text).decode("utf-8", "replace")
    except UnicodeEncodeError:  # was not made by the locale
        return text.translate(SURROGATES)


def show(text: str = "", end: str = "\n") -> None:
    """What a command prints: on stdout, at once."""
    text = clean(text) if sys.stdout.isatty() else text.translate(SURROGATES)
    print(text, end=end, flush=True)


def show_json(value: Any) -> None:
    """One JSON object on a line of stdout."""
    text = json.dumps(value, ensure_ascii=False).translate(_ESCAPED)
    print("".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c for c in text), flush=True)


def say(text: str) -> None:
    """A line for people, apart from what the command prints: on stderr."""
    print(clean(text), file=sys.stderr, flush=True)


def quoted(path: str) -> str:
    """A path as it can be pasted into a shell."""
    return subprocess.list2cmdline([path]) if sys.platform == "win32" else shlex.quote(path)


def one_line(error: BaseException) -> str:
    """What an error says."""
    return " ".join(str(error).split())


@contextmanager
def work(out: str) -> Iterator[Progress]:
    """A progress bar while the folder or file `out` is made; Ctrl-C is one line and exit code 130."""
    import typer

    from engram_local.progress import progress_bar

    try:
        with progress_bar() as progress:
            yield progress
    except KeyboardInterrupt:
        unfinished = Path(f"{Path(out)}.partial").exists()
        left = "the same command goes on where it stopped" if unfinished else "nothing was written"
        say(f"engram-local: interrupted; {left}")
        raise typer.Exit(130) from None
