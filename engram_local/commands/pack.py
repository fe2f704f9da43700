"""engram-local pack."""

from pathlib import Path
from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OutputFile, ProgressStyle, RequiredModel, command
from engram_local.commands.terminal import Result, quoted, say, work


@command()
def pack(
    model: RequiredModel,
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive to make; - is stdout.")],
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Put a model folder into one file.

    A folder with linked tables is refused: their rows lie elsewhere.

    \b
    Examples:
      engram-local pack my-model my-model.tar.zst
      engram-local pack my-model - | ssh host engram-local unpack - my-model
    """
    from engram_local.tools.archive import pack as run

    if file == "-" and (json_output or output):
        raise typer.BadParameter("--json and --output tell of a file; - is stdout")
    result = Result(json_output, output)
    with work(file, progress) as report:
        run(model, file, progress=report)
    if file != "-":
        result.give({"out": file, "bytes": Path(file).stat().st_size})
        say(f"{file} is ready: engram-local unpack {quoted(file)} OUT")
