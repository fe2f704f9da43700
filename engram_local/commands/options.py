"""Arguments, options and printing that commands share."""

import sys
from contextlib import AbstractContextManager
from typing import Annotated, Literal

import typer

OptionalModel = Annotated[str | None, typer.Argument(metavar="MODEL", help="Model folder.", show_default=False)]
RequiredModel = Annotated[str, typer.Argument(metavar="MODEL", help="Model folder.")]
BackendOption = Annotated[
    Literal["auto", "onnx", "gguf"], typer.Option("--backend", help="What runs the backbone.", metavar="auto|onnx|gguf")
]
Threads = Annotated[
    int | None, typer.Option(help="Threads of the backbone; by default one per core.", min=1, metavar="N")
]
GpuLayers = Annotated[
    int | None,
    typer.Option("--gpu-layers", help="Blocks on the GPU (gguf, a llama-cpp-python built for it).", min=0, metavar="N"),
]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Leave the Engram layers out.")]
Access = Annotated[
    Literal["auto", "resident", "mmap", "direct"],
    typer.Option("--table-access", help="How table rows are read.", metavar="auto|resident|mmap|direct"),
]
RamLimit = Annotated[str | None, typer.Option(help="Memory that table rows may take: 512M, 8GiB.", metavar="SIZE")]
Context = Annotated[
    int | None,
    typer.Option("--context", help="Context length in tokens; by default the model's.", min=1, metavar="N"),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")]
System = Annotated[str | None, typer.Option(help="A system message, where the chat template has one.", metavar="TEXT")]
MaxTokens = Annotated[
    int | None, typer.Option(help="Longest answer; by default up to the context's end.", min=1, metavar="N")
]
Temperature = Annotated[
    float | None, typer.Option(help="0 is greedy; by default the model's own setting.", min=0, metavar="T")
]
TopK = Annotated[int | None, typer.Option(help="Draw from the K most likely tokens; 0: all.", min=0, metavar="K")]
TopP = Annotated[
    float | None,
    typer.Option(help="Draw from the most likely tokens that together have P.", min=0, max=1, metavar="P"),
]
MinP = Annotated[
    float | None, typer.Option(help="Drop tokens less likely than P times the likeliest.", min=0, max=1, metavar="P")
]
Penalty = Annotated[
    float | None, typer.Option("--repetition-penalty", help="Above 1: repeat less.", min=0, metavar="X")
]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text.", min=0, metavar="N")]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Encoding = Annotated[
    Literal["int8", "int4", "fp8", "float16", "float32"],
    typer.Option("--tables", help="Encoding of the rows.", metavar="int8|int4|fp8|float16|float32"),
]


def say(text: str) -> None:
    """A line for people, apart from what the command prints."""
    print(text, file=sys.stderr, flush=True)


def progress() -> AbstractContextManager:
    from engram_local.progress import progress_bar

    return progress_bar()
