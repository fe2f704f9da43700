"""The engram-local command: its verbs are in commands/, and whatever fails is one line here."""

import atexit
import errno
import gc
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

from engram_local import __version__
from engram_local.commands.settings import config_file, read_settings, variable
from engram_local.commands.terminal import one_line, open_streams, say
from engram_local.errors import EngramError

if TYPE_CHECKING:
    import typer

# verb: the module of commands/ that has it, and the function there
VERBS = {x: x for x in ("chat", "generate", "serve", "inspect", "verify", "bench", "warm", "export", "quantize")}
VERBS |= {x: x for x in ("attach", "link", "pack", "unpack", "get")} | {"list": "list_models", "rm": "rm"}
VERBS |= {"config": "config"}
GARBAGE_AFTER = 100_000  # objects more than before: what starting makes is none, and looking through it takes 30 ms


def make_app(verbs: Iterable[str] = tuple(VERBS)) -> "typer.Typer":
    """The program with these verbs; only their modules are imported."""
    import typer

    from engram_local.commands.plain_values import Program, Verb

    app = typer.Typer(
        cls=Program,
        name="engram-local",
        help="Run language models with conditional memory (Engram): the facts lie in tables on disk, the language in a "
        "small backbone. MODEL is a model folder, or the name of one (engram-local list); left out, it is the pocket "
        "model that ships with the package.",
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

    for verb in verbs:
        name = VERBS[verb]
        app.command(verb, cls=Verb)(getattr(import_module(f"engram_local.commands.{name}"), name))
    return app


def options_of_verbs() -> dict[str, set[str]]:
    """{verb: names of its options and arguments}."""
    from typer.main import get_command

    program: Any = get_command(make_app())
    return {name: {x.name for x in verb.params} for name, verb in program.commands.items()}


def run() -> None:
    """`main` in a process of its own, which ends when all that is registered for its end is done: taking apart what is
    left, Python's objects and the runtimes' own, takes longer than the system needs to free it."""
    codes: list[int] = []
    atexit.register(lambda: _end(codes))  # what is registered from now on is done before
    try:
        main()
        codes.append(0)
    except SystemExit as left:
        if isinstance(left.code, int):
            codes.append(left.code)
        raise


def main() -> None:
    """The command. Exit codes: 0 done, 1 it failed (one line on stderr says what and what to do), 2 wrong usage, 130
    interrupted."""
    gc.set_threshold(GARBAGE_AFTER)
    try:
        open_streams()
        if sys.argv[1:] == ["--version"]:  # without typer
            print(f"engram-local {__version__}")
            return
        try:
            named = os.environ.get(variable("config")) or config_file().exists()
            verb = sys.argv[1:2]
            app = make_app(verb if verb and verb[0] in VERBS else VERBS)
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


def _end(codes: list[int]) -> None:
    if codes:  # else Python has something to say
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(codes[0])


if __name__ == "__main__":
    run()
