"""engram-local export."""

from typing import Annotated, Literal

import typer

from engram_local.commands.options import (
    Calibrate,
    Encoding,
    ForeignTable,
    JsonOutput,
    OutFolder,
    OutputFile,
    ProgressStyle,
    command,
)
from engram_local.commands.terminal import Result, quoted, say, show, work


@command()
def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or file of a trained checkpoint.")],
    out: OutFolder,
    base: Annotated[
        str | None, typer.Option(help="Hugging Face folder of the backbone, where it lies apart.", metavar="FOLDER")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="Layout of the checkpoint, by default found out; docs/export.md lists them.", metavar="NAME"),
    ] = None,
    backend: Annotated[
        Literal["onnx", "gguf", "both"], typer.Option(help="Which backbones to write.", metavar="onnx|gguf|both")
    ] = "onnx",
    tables: Encoding = "int8",
    table: ForeignTable = None,
    weights: Annotated[
        Literal["float32", "float16", "int8", "int4"],
        typer.Option(help="Encoding of the backbone's weights.", metavar="float32|float16|int8|int4"),
    ] = "int8",
    via: Annotated[
        Literal["builder", "torch"],
        typer.Option(
            help="Who writes the ONNX backbone: the builder, for families it knows, or PyTorch, which traces any.",
            metavar="builder|torch",
        ),
    ] = "builder",
    calibrate: Calibrate = None,
    link: Annotated[
        bool,
        typer.Option("--link", help="Read the tables where they lie, in the checkpoint's own files; --tables is void."),
    ] = False,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Make a model folder of a trained checkpoint.

    Prints what the tables' encoding lost. After an interruption the same
    command goes on with the tables that it had finished.

    \b
    Examples:
      engram-local export checkpoint my-model
      engram-local export adapters my-model --base Qwen3-0.6B --tables int4 --weights int4 --backend both
      engram-local export checkpoint my-model --tables int4 --calibrate my-text.txt
      engram-local export checkpoint my-model --link
      engram-local export adapters my-model --base Starcoder2-3B --via torch
    """
    from engram_local.tools.export.folder import export_model
    from engram_local.tools.export.tables import report_lines

    result = Result(json_output, output)
    with work(out, progress) as report:
        info = export_model(
            checkpoint,
            out,
            base=base,
            layout=layout,
            backend=backend,
            tables=tables,
            weights=weights,
            calibrate=calibrate,
            progress=report,
            link=link if table is None else table,
            via=via,
        )
    if not result.give({"out": out, **info}):
        show("\n".join(report_lines(info)))
    say(f"{out} is ready: engram-local chat {quoted(out)}")
