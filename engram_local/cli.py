"""The engram-local command: its verbs are in commands/, and whatever fails is one line here."""

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.main import get_command

from engram_local import __version__
from engram_local.commands.attach import attach
from engram_local.commands.bench import bench
from engram_local.commands.chat import chat
from engram_local.commands.config import config
from engram_local.commands.export import export
from engram_local.commands.generate import generate
from engram_local.commands.get import get
from engram_local.commands.inspect import inspect
from engram_local.commands.link import link
from engram_local.commands.list_models import list_models
from engram_local.commands.pack import pack
from engram_local.commands.quantize import quantize
from engram_local.commands.rm import rm
from engram_local.commands.serve import serve
from engram_local.commands.settings import config_file, read_settings, variable
from engram_local.commands.terminal import one_line, open_streams, say
from engram_local.commands.unpack import unpack
from engram_local.commands.verify import verify
from engram_local.commands.warm import warm
from engram_local.errors import EngramError

app = typer.Typer(
    name="engram-local",
    help="Run language models with conditional memory (Engram): the facts lie in tables on disk, the language in a "
    "small backbone. MODEL is a model folder, or the name of one (engram-local list); left out, it is the pocket model "
    "that ships with the package.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich breaks examples in the middle of a line
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """What stands before a verb."""
    if version:
        print(f"engram-local {__version__}")
        raise typer.Exit


for verb in (chat, generate, serve, inspect, verify, bench, warm, export, quantize, attach, link, pack, unpack):
    app.command()(verb)
app.command()(get)
app.command("list")(list_models)
app.command()(rm)
app.command()(config)


def options_of_verbs() -> dict[str, set[str]]:
    """{verb: names of its options and arguments}."""
    program: Any = get_command(app)
    return {name: {x.name for x in verb.params} for name, verb in program.commands.items()}


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 it failed (one line on stderr says what and what to do), 2 wrong usage, 130
    interrupted."""
    try:
        open_streams()
        if sys.argv[1:] == ["--version"]:  # typer would load pydantic to tell it
            print(f"engram-local {__version__}")
            return
        try:
            named = os.environ.get(variable("config")) or config_file().exists()
            app(default_map=read_settings(options_of_verbs()) if named else None)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output went away (head, less): nothing to say
        _leave(1)
    except Exception as error:
        code = _report(error)
        _leave(code)


def _report(error: Exception) -> int:
    """Say what went wrong in one line; returns the exit code. Errors that are no EngramError are this package's faults,
    but for those of the system."""
    text = one_line(error)
    if _interrupted(error):
        say("engram-local: interrupted")
        return 130
    if isinstance(error, EngramError):
        say(f"engram-local: {text}")
    elif isinstance(error, MemoryError):
        say("engram-local: out of memory; try --context with fewer tokens, --ram-limit, or smaller weights")
    elif isinstance(error, OSError):
        full = error.errno == errno.ENOSPC and not error.filename
        where = "the output cannot be written: " if full else ""
        say(f"engram-local: {where}{text}")
    elif isinstance(error, ImportError):
        say(f"engram-local: {text}; install what is missing (pip install 'engram_local[export,gguf,hub,plot,serve]')")
    else:
        say(f"engram-local: {type(error).__name__}: {text}; this is a fault of engram-local, --debug shows where")
    return 1


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: an extension that it meets while it is imported makes an ImportError of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _leave(code: int) -> None:
    """Exit, and write nothing more to an output that cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
