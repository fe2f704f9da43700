"""engram-local link."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OutFolder, OutputFile, command
from engram_local.commands.terminal import Result, quoted, say, work


@command()
def link(
    gguf: Annotated[
        str, typer.Argument(metavar="MODEL.gguf", help="A GGUF with an n-gram table of its own; of a split, part 1.")
    ],
    out: OutFolder,
    table: Annotated[
        str | None,
        typer.Option(
            help="What stands in for the GGUF's own table: a table file, a link, another GGUF, or the model's Hugging "
            "Face folder.",
            metavar="PATH",
        ),
    ] = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
) -> None:
    """Run a published GGUF with its own n-gram table under this reader.

    Nothing is copied: the folder holds a few KB that say where the GGUF,
    or its parts, and the table lie. Qwen3.8-Flash-Next is of this kind.

    \b
    Examples:
      engram-local link Qwen3.8-Flash-Next-UD-Q4_K_XL-00001-of-00003.gguf qwen
      engram-local chat qwen --ram-limit 2GiB
    """
    from engram_local.tools.link import link as run

    result = Result(json_output, output)
    with work(out):
        info = run(gguf, out, table=table)
    result.give({"out": out, **info})
    encoding = info["table"]["encoding"]
    say(f"{out} is ready, its table ({encoding}) is read where it lies: engram-local chat {quoted(out)}")
