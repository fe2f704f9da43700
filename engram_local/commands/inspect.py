"""engram-local inspect."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OptionalModel, command
from engram_local.commands.terminal import typed


@command()
def inspect(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    rows: Annotated[
        str | None,
        typer.Option(help="Show which rows each token of this text reads.", metavar="TEXT", parser=typed),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Show how much of each table is in memory now.")] = False,
) -> None:
    """Show what a model holds and how much memory it needs.

    \b
    Examples:
      engram-local inspect
      engram-local inspect my-model --json
      engram-local inspect my-model --live
      engram-local inspect --rows 'the capital of France'
    """
    from engram_local.commands.inspection import print_model, print_rows

    if rows is not None and live:
        raise typer.BadParameter("--rows and --live exclude each other")
    if rows is None:
        print_model(model, json_output, live)
    else:
        print_rows(model, rows, json_output)
