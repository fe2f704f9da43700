"""engram-local unpack."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OutFolder, OutputFile, ProgressStyle, command
from engram_local.commands.terminal import Result, quoted, say, work


@command()
def unpack(
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive made by pack; - is stdin.")],
    out: OutFolder,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Take a model folder out of its archive, checking every file.

    \b
    Examples:
      engram-local unpack my-model.tar.zst my-model
    """
    from engram_local.tools.archive import unpack as run

    result = Result(json_output, output)
    with work(out, progress) as report:
        run(file, out, progress=report)
    result.give({"out": out})
    say(f"{out} is ready: engram-local chat {quoted(out)}")
