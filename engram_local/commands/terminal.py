"""Standard streams: UTF-8 both ways, never closed, and no foreign text that steers a terminal.

Whatever a model, a file or an error says goes through `show` and `say`: what they print on a terminal holds no control
character but line feed and tab.
"""

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engram_local.errors import EngramError, UsageError
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


def typed(text: Any) -> str:
    """A text of the command line as UTF-8 says it, whatever the locale; bytes that are none become U+FFFD. Raises
    typer.BadParameter for what else a configuration file may hold."""
    if not isinstance(text, str):
        import typer

        raise typer.BadParameter(f"{text!r} is no text; write it in quotes")
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
    if sys.platform == "win32":
        from subprocess import list2cmdline  # takes 3 ms, which --version need not wait for

        return list2cmdline([path])
    return shlex.quote(path)


def one_line(error: BaseException) -> str:
    """What an error says."""
    return " ".join(str(error).split())


class Result:
    """What a command found, as JSON: --json prints it in place of the text for people, --output writes it to a file."""

    def __init__(self, as_json: bool, output: str | None = None):
        """Raises UsageError where `output` cannot be written: before the work, not behind it."""
        self.as_json, self._output = as_json, Path(output) if output else None
        if self._output is not None:
            check_writable(self._output)

    def give(self, value: Any) -> bool:
        """Write and print as asked; returns whether it was printed. Raises EngramError where the disk fails."""
        if self._output is not None:
            text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
            write_file(self._output, lambda partial: partial.write_text(text, encoding="utf-8", errors="replace"))
        if self.as_json:
            show_json(value)
        return self.as_json


def check_writable(path: Path) -> None:
    """Raises UsageError where a file of that name cannot be made or replaced."""
    if path.is_dir():
        raise UsageError(f"{path}: cannot be written: it is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: cannot be written: there is no folder {path.parent}; make it")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: cannot be written: no permission for {path.parent}; choose another place")


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file beside `path`, then rename it. Raises EngramError; nothing is left then."""
    partial = path.with_name(path.name + ".partial")
    try:
        write(partial)
        os.replace(partial, path)
    except (OSError, ValueError) as error:
        partial.unlink(missing_ok=True)
        raise EngramError(f"{path}: cannot be written: {error}") from error


@contextmanager
def work(out: str, style: str = "auto") -> Iterator[Progress]:
    """Progress while the folder or file `out` is made; Ctrl-C is one line and exit code 130."""
    import typer

    from engram_local.progress import progress_bar

    try:
        with progress_bar(style) as progress:
            yield progress
    except KeyboardInterrupt:
        unfinished = any(Path(f"{Path(out)}{x}.partial").exists() for x in ("", ".tar.zst"))  # the latter: get's
        left = "the same command goes on where it stopped" if unfinished else "nothing was written"
        say(f"engram-local: interrupted; {left}")
        raise typer.Exit(130) from None
