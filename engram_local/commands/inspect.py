"""engram-local inspect."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OptionalModel, RamLimit, command
from engram_local.commands.terminal import typed


@command()
def inspect(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    rows: Annotated[
        str | None,
        typer.Option(help="Show which rows each token of this text reads.", metavar="TEXT", parser=typed),
    ] = None,
    ram_limit: RamLimit = None,
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
      engram-local inspect Qwen3.8-Flash-Next/config.json --ram-limit 2GiB
    """
    from engram_local.commands.inspection import is_published, print_model, print_rows

    if rows is not None and live:
        raise typer.BadParameter("--rows and --live exclude each other")
    if model is not None and is_published(model):
        from engram_local.commands.inspection_tables import print_table_rows, print_tables

        if live:
            raise typer.BadParameter("--live needs a model folder")
        if rows is None:
            print_tables(model, json_output, ram_limit)
        else:
            print_table_rows(model, rows, json_output)
    elif ram_limit is not None:
        raise typer.BadParameter("--ram-limit is for published models; a model folder takes it where it is loaded")
    elif rows is None:
        print_model(model, json_output, live)
    else:
        print_rows(model, rows, json_output)
