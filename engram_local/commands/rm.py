"""engram-local rm."""

import sys
from typing import Annotated

import typer

from engram_local.commands.options import command
from engram_local.commands.terminal import say
from engram_local.errors import UsageError


@command()
def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model that engram-local list shows.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a model that has a name.

    Touches nothing but that model's folder in the models folder.

    \b
    Examples:
      engram-local rm my-model
    """
    from engram_local.model_store import place_of, remove, size_of
    from engram_local.sizes import format_size

    size = format_size(size_of(name))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{place_of(name)}: {size} would be deleted; say --yes")
        if not typer.confirm(f"Delete {place_of(name)} ({size})?", err=True):
            say("nothing was deleted")
            raise typer.Exit(1)
    remove(name)
    say(f"{name} is deleted.")
