"""engram-local attach."""

from typing import Annotated, Literal

import typer

from engram_local.commands.options import (
    Encoding,
    ForeignTable,
    JsonOutput,
    OutFolder,
    OutputFile,
    ProgressStyle,
    command,
)
from engram_local.commands.terminal import Result, quoted, say, work


@command()
def attach(
    gguf: Annotated[
        str, typer.Argument(metavar="BACKBONE.gguf", help="A GGUF file, dense or mixture, quantized or not.")
    ],
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="Model folder, name, or trained checkpoint, with the Engram layers."),
    ],
    out: OutFolder,
    base: Annotated[
        str | None,
        typer.Option(help="Hugging Face folder of a checkpoint's backbone, where it lies apart.", metavar="FOLDER"),
    ] = None,
    tables: Encoding = "int8",
    weights: Annotated[
        Literal["float32", "float16", "int8", "int4"],
        typer.Option(
            help="Encoding of the layers' own matrices, of a checkpoint.", metavar="float32|float16|int8|int4"
        ),
    ] = "int8",
    table: ForeignTable = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Join a GGUF that you have with Engram tables and layers.

    The tables of a model folder are taken as they are, those of a
    checkpoint are encoded (--tables, --weights). Large files are cloned or
    hard-linked where the disk allows, else copied; the command says which.

    \b
    Examples:
      engram-local attach Qwen3-0.6B-Q8_0.gguf my-model my-gguf-model
      engram-local attach Qwen3-0.6B-Q4_K_M.gguf adapters my-gguf-model --base Qwen3-0.6B
    """
    from engram_local.model_store import find
    from engram_local.tools.attach import attach as run

    result = Result(json_output, output)
    with work(out, progress) as report:
        info = run(gguf, find(source), out, base=base, tables=tables, weights=weights, progress=report, table=table)
    result.give({"out": out, **info})
    say(f"{out} is ready, {gguf} {info['gguf']} into it: engram-local chat {quoted(out)}")
