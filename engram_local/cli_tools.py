"""Commands that make model folders: export, quantize, pack, unpack, attach. cli.py adds them to the program."""

from typing import Annotated, Literal

import typer

from engram_local.cli_options import Debug, Encoding, RequiredModel, progress, say


def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or file of a trained checkpoint.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    base: Annotated[
        str | None, typer.Option(help="Hugging Face folder of the backbone, where it lies apart.", metavar="FOLDER")
    ] = None,
    backend: Annotated[
        Literal["onnx", "gguf", "both"], typer.Option(help="Which backbones to write.", metavar="onnx|gguf|both")
    ] = "onnx",
    tables: Encoding = "int8",
    weights: Annotated[
        Literal["float32", "float16", "int8", "int4"],
        typer.Option(help="Encoding of the backbone's weights.", metavar="float32|float16|int8|int4"),
    ] = "int8",
    debug: Debug = False,
) -> None:
    """Make a model folder of a trained checkpoint.

    \b
    engram-local export checkpoint my-model
    engram-local export adapters my-model --base Qwen3-0.6B --tables int4 --weights int4 --backend both
    """
    from engram_local.tools.export import export_model

    with progress() as show:
        export_model(
            checkpoint,
            out,
            base=base,
            backend=backend,
            tables=tables,
            weights=weights,
            progress=show,
        )
    say(f"{out} is ready: engram-local chat {out}")


def quantize(
    model: RequiredModel,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    tables: Encoding,
    debug: Debug = False,
) -> None:
    """Encode a model's tables anew, and report what that loses.

    \b
    engram-local quantize my-model my-model-int4 --tables int4
    """
    from engram_local.tools.quantize import quantize_model

    with progress() as show:
        quantize_model(model, out, tables, progress=show)
    say(f"{out} is ready: engram-local chat {out}")


def pack(
    model: RequiredModel,
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive to make.")],
    debug: Debug = False,
) -> None:
    """Put a model folder into one file.

    \b
    engram-local pack my-model my-model.tar.zst
    """
    from engram_local.tools.archive import pack as run

    with progress() as show:
        run(model, file, progress=show)
    say(f"{file} is ready: engram-local unpack {file} OUT")


def unpack(
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive made by pack.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    debug: Debug = False,
) -> None:
    """Take a model folder out of its archive, checking every file.

    \b
    engram-local unpack my-model.tar.zst my-model
    """
    from engram_local.tools.archive import unpack as run

    with progress() as show:
        run(file, out, progress=show)
    say(f"{out} is ready: engram-local chat {out}")


def attach(
    gguf: Annotated[
        str, typer.Argument(metavar="BACKBONE.gguf", help="A GGUF file, dense or mixture, quantized or not.")
    ],
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Model folder or adapter with the Engram layers.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    debug: Debug = False,
) -> None:
    """Join a GGUF that you have with Engram tables and layers.

    \b
    engram-local attach Qwen3-0.6B-Q8_0.gguf my-model my-gguf-model
    """
    from engram_local.tools.attach import attach as run

    run(gguf, source, out)
    say(f"{out} is ready: engram-local chat {out}")
