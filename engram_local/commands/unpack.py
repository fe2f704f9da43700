"""engram-local unpack."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OutFolder, command
from engram_local.commands.terminal import quoted, say, show_json, work


@command()
def unpack(
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive made by pack; - is stdin.")],
    out: OutFolder,
    json_output: JsonOutput = False,
) -> None:
    """Take a model folder out of its archive, checking every file.

    \b
    Examples:
      engram-local unpack my-model.tar.zst my-model
    """
    from engram_local.tools.archive import unpack as run

    with work(out) as progress:
        run(file, out, progress=progress)
    if json_output:
        show_json({"out": out})
    say(f"{out} is ready: engram-local chat {quoted(out)}")
