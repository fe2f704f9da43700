"""engram-local inspect."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OptionalModel, OutputFile, RamLimit, command
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
    ram_limit: RamLimit = None,
    slots: Annotated[
        int, typer.Option(help="Count the contexts of `serve --slots N`.", min=1, max=256, metavar="N")
    ] = 4,
    live: Annotated[bool, typer.Option("--live", help="Show how much of each table is in memory now.")] = False,
) -> None:
    """Show what a model holds and how much memory it needs.

    MODEL may also be a published model's config.json, its folder or its
    GGUF, with or without weights: Qwen3.8-Flash-Next, DeepSeek-V4.1,
    LongCat's n-gram models, the Engram demo, adapters of engram-peft.
    Then --ram-limit says how much of the tables it would keep in memory.

    \b
    Examples:
      engram-local inspect
      engram-local inspect my-model --json
      engram-local inspect my-model --live
      engram-local inspect --rows 'the capital of France'
      engram-local inspect --gate 'The capital of France is Paris.'
      engram-local inspect Qwen3.8-Flash-Next/config.json --ram-limit 2GiB
    """
    from engram_local.commands.inspection import is_published, print_gates, print_model, print_rows

    if (rows is not None) + (gate is not None) + live > 1:
        raise typer.BadParameter("--rows, --gate and --live exclude each other")
    result = Result(json_output, output)
    if model is not None and is_published(model):
        from engram_local.commands.inspection_tables import print_table_rows, print_tables

        if live or gate is not None:
            raise typer.BadParameter("--live and --gate need a model folder")
        if rows is None:
            print_tables(model, result, ram_limit)
        else:
            print_table_rows(model, rows, result)
    elif ram_limit is not None:
        raise typer.BadParameter("--ram-limit is for published models; a model folder takes it where it is loaded")
    elif gate is not None:
        print_gates(model, gate, result)
    elif rows is not None:
        print_rows(model, rows, result)
    else:
        print_model(model, result, live, slots)
