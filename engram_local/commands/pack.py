"""engram-local pack."""

from pathlib import Path
from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, RequiredModel, command
from engram_local.commands.terminal import quoted, say, show_json, work


@command()
def pack(
    model: RequiredModel,
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive to make; - is stdout.")],
    json_output: JsonOutput = False,
) -> None:
    """Put a model folder into one file.

    A folder with linked tables is refused: their rows lie elsewhere.

    \b
    Examples:
      engram-local pack my-model my-model.tar.zst
      engram-local pack my-model - | ssh host engram-local unpack - my-model
    """
    from engram_local.tools.archive import pack as run

    with work(file) as progress:
        run(model, file, progress=progress)
    if json_output and file != "-":
        show_json({"out": file, "bytes": Path(file).stat().st_size})
    if file != "-":
        say(f"{file} is ready: engram-local unpack {quoted(file)} OUT")
