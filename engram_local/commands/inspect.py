"""engram-local inspect."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OptionalModel, OutputFile, command
from engram_local.commands.terminal import Result, typed


@command()
def inspect(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    rows: Annotated[
        str | None,
        typer.Option(help="Show which rows each token of this text reads.", metavar="TEXT", parser=typed),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(
            help="Show how far the gates open at each token of this text, and which n-gram it looks up.",
            metavar="TEXT",
            parser=typed,
        ),
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
      engram-local inspect --gate 'The capital of France is Paris.'
    """
    from engram_local.commands.inspection import print_gates, print_model, print_rows

    if (rows is not None) + (gate is not None) + live > 1:
        raise typer.BadParameter("--rows, --gate and --live exclude each other")
    result = Result(json_output, output)
    if gate is not None:
        print_gates(model, gate, result)
    elif rows is not None:
        print_rows(model, rows, result)
    else:
        print_model(model, result, live)
