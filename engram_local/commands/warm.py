"""engram-local warm."""

import functools

from engram_local.commands.options import (
    Access,
    JsonOutput,
    OptionalModel,
    OutputFile,
    ProgressStyle,
    RamLimit,
    command,
)
from engram_local.commands.terminal import Result, show


@command()
def warm(
    model: OptionalModel = None,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Read a model's tables into memory, so that the first answers are as fast as the later ones.

    \b
    Examples:
      engram-local warm my-model
    """
    from engram_local.model_folder import POCKET, ModelFolder
    from engram_local.progress import progress_bar
    from engram_local.sizes import format_size
    from engram_local.tables.model_tables import ModelTables

    result = Result(json_output, output)
    folder = ModelFolder.open(model or POCKET)
    read = {}
    with ModelTables.of(folder, table_access, ram_limit) as tables:
        for layer_id, table in tables.items():
            name = folder.engram.layer(layer_id).table
            with progress_bar(progress) as report:
                n_read = table.warm(functools.partial(report, name))
            read[name] = {"bytes": n_read, "access": table.access, "why": table.why}
            if not json_output:
                show(f"{name}: {format_size(n_read)} read; access {table.access}: {table.why}")
    result.give({"model": str(folder.path), "read": read})
