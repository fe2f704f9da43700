"""Commands that make model folders: export, quantize, pack, unpack, attach. cli.py adds them to the program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from engram_local.commands.options import Debug, Encoding, RequiredModel, progress, say

Calibrate = Annotated[
    str | None,
    typer.Option(
        help="Measure on this text what the tables' encoding costs: KL divergence of the next token, perplexity.",
        metavar="TEXTFILE",
    ),
]


def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or file of a trained checkpoint.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
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
    weights: Annotated[
        Literal["float32", "float16", "int8", "int4"],
        typer.Option(help="Encoding of the backbone's weights.", metavar="float32|float16|int8|int4"),
    ] = "int8",
    calibrate: Calibrate = None,
    link: Annotated[
        bool,
        typer.Option("--link", help="Read the tables where they lie, in the checkpoint's own files; --tables is void."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Make a model folder of a trained checkpoint.

    Prints what the tables' encoding lost. After an interruption the same
    command goes on with the tables that it had finished.

    \b
    engram-local export checkpoint my-model
    engram-local export adapters my-model --base Qwen3-0.6B --tables int4 --weights int4 --backend both
    engram-local export checkpoint my-model --tables int4 --calibrate my-text.txt
    engram-local export checkpoint my-model --link
    """
    from engram_local.tools.export import export_model
    from engram_local.tools.export.tables import report_lines

    with _work(out) as show:
        info = export_model(
            checkpoint,
            out,
            base=base,
            layout=layout,
            backend=backend,
            tables=tables,
            weights=weights,
            calibrate=calibrate,
            progress=show,
            link=link,
        )
    print(*report_lines(info), sep="\n")
    say(f"{out} is ready: engram-local chat {out}")


def quantize(
    model: RequiredModel,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    tables: Encoding,
    calibrate: Calibrate = None,
    debug: Debug = False,
) -> None:
    """Encode a model's tables anew, and print what that loses.

    Linked tables become files of the new folder. After an interruption the
    same command goes on with the tables that it had finished.

    \b
    engram-local quantize my-model my-model-int4 --tables int4
    engram-local quantize my-model my-model-int4 --tables int4 --calibrate my-text.txt
    """
    from engram_local.tools.export.tables import report_lines
    from engram_local.tools.quantize import quantize_model

    with _work(out) as show:
        info = quantize_model(model, out, tables, calibrate=calibrate, progress=show)
    print(*report_lines(info), sep="\n")
    say(f"{out} is ready: engram-local chat {out}")


def pack(
    model: RequiredModel,
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive to make; - is stdout.")],
    debug: Debug = False,
) -> None:
    """Put a model folder into one file.

    A folder with linked tables is refused: their rows lie elsewhere.

    \b
    engram-local pack my-model my-model.tar.zst
    engram-local pack my-model - | ssh host engram-local unpack - my-model
    """
    from engram_local.tools.archive import pack as run

    with _work(file) as show:
        run(model, file, progress=show)
    if file != "-":
        say(f"{file} is ready: engram-local unpack {file} OUT")


def unpack(
    file: Annotated[str, typer.Argument(metavar="FILE.tar.zst", help="Archive made by pack; - is stdin.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    debug: Debug = False,
) -> None:
    """Take a model folder out of its archive, checking every file.

    \b
    engram-local unpack my-model.tar.zst my-model
    """
    from engram_local.tools.archive import unpack as run

    with _work(out) as show:
        run(file, out, progress=show)
    say(f"{out} is ready: engram-local chat {out}")


def attach(
    gguf: Annotated[
        str, typer.Argument(metavar="BACKBONE.gguf", help="A GGUF file, dense or mixture, quantized or not.")
    ],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Model folder, or trained checkpoint, with the Engram layers.")
    ],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    base: Annotated[
        str | None,
        typer.Option(help="Hugging Face folder of a checkpoint's backbone, where it lies apart.", metavar="FOLDER"),
    ] = None,
    tables: Encoding = "int8",
    debug: Debug = False,
) -> None:
    """Join a GGUF that you have with Engram tables and layers.

    The tables of a model folder are taken as they are, those of a
    checkpoint are encoded (--tables). Large files are cloned or
    hard-linked where the disk allows, else copied; the command says which.

    \b
    engram-local attach Qwen3-0.6B-Q8_0.gguf my-model my-gguf-model
    engram-local attach Qwen3-0.6B-Q4_K_M.gguf adapters my-gguf-model --base Qwen3-0.6B
    """
    from engram_local.tools.attach import attach as run

    with _work(out) as show:
        info = run(gguf, source, out, base=base, tables=tables, progress=show)
    say(f"{out} is ready, {gguf} {info['gguf']} into it: engram-local chat {out}")


@contextmanager
def _work(out: str) -> Iterator:
    """A progress bar; Ctrl-C is one line and exit code 130."""
    try:
        with progress() as show:
            yield show
    except KeyboardInterrupt:
        left = (
            "the same command goes on where it stopped"
            if Path(f"{Path(out)}.partial").exists()
            else "nothing was written"
        )
        say(f"engram-local: interrupted; {left}")
        raise typer.Exit(130) from None
