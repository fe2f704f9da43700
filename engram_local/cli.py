"""The engram-local command. A command is a thin function: it imports what it needs when it runs, so that help is fast."""

import json
import os
import sys
from typing import Annotated, Literal

import typer

from engram_local import __version__

app = typer.Typer(
    name="engram-local",
    help="Run language models with conditional memory (Engram): the facts lie in tables on disk, the language in a small "
    "backbone. MODEL is a model folder; left out, it is the pocket model that ships with the package.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

OptionalModel = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Model folder.", show_default=False)]
RequiredModel = Annotated[str, typer.Argument(metavar="MODEL", help="Model folder.")]
BackendOption = Annotated[Literal["auto", "onnx", "gguf"], typer.Option("--backend", help="What runs the backbone.")]
Threads = Annotated[int | None, typer.Option(help="Threads of the backbone; by default one per core.", min=1)]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Leave the Engram layers out.")]
Access = Annotated[
    Literal["auto", "resident", "mmap", "direct"], typer.Option("--table-access", help="How table rows are read.")
]
RamLimit = Annotated[str | None, typer.Option(help="Memory that table rows may take: 512M, 8GiB.", metavar="SIZE")]
Context = Annotated[int | None, typer.Option("--context", help="Context length in tokens; by default the model's.", min=1)]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")]
System = Annotated[str | None, typer.Option(help="A system message, where the chat template has one.", metavar="TEXT")]
MaxTokens = Annotated[int | None, typer.Option(help="Longest answer; by default up to the context's end.", min=1)]
Temperature = Annotated[float | None, typer.Option(help="0 is greedy; by default the model's own setting.", min=0)]
TopK = Annotated[int | None, typer.Option(help="Draw from the K most likely tokens; 0: all.", min=0)]
TopP = Annotated[float | None, typer.Option(help="Draw from the most likely tokens that together have P.", min=0, max=1)]
MinP = Annotated[float | None, typer.Option(help="Drop tokens less likely than P times the likeliest.", min=0, max=1)]
Penalty = Annotated[float | None, typer.Option("--repetition-penalty", help="Above 1: repeat less.", min=0)]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same text.", min=0)]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Encoding = Literal["int8", "int4", "fp8", "float16", "float32"]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"engram-local {__version__}")
        raise typer.Exit


@app.command()
def chat(
    model: OptionalModel = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    seed: Seed = None,
    backend: BackendOption = "auto",
    threads: Threads = None,
    no_memory: NoMemory = False,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    context: Context = None,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Talk to a model.

    In a terminal: /help lists the commands, /memory off leaves the tables out live, Ctrl-C stops an answer. Where stdin
    or stdout is no terminal: one message a line in, one reply a line out, each line a turn of one conversation.

    \b
    engram-local chat
    engram-local chat my-model --no-memory
    printf 'What is the capital of France?\\n' | engram-local chat
    """
    from engram_local.chat import run_chat
    from engram_local.conversation import Conversation

    with _load(model, backend, threads, no_memory, table_access, ram_limit, context, verbose) as loaded:
        sampling = _sampling(loaded, temperature, top_k, top_p, min_p, repetition_penalty, seed)
        conversation = Conversation(loaded, memory=not no_memory, system=system, max_tokens=max_tokens, **sampling)
        run_chat(conversation, f"engram-local {__version__}: {loaded.folder.path.name}, {loaded.backend.name}")


@app.command()
def generate(
    model: OptionalModel = None,
    prompt: Annotated[str | None, typer.Option(help="The text; left out, stdin is read.", metavar="TEXT")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text itself, without the chat template.")] = False,
    system: System = None,
    stop: Annotated[list[str] | None, typer.Option(help="End at this text; may be repeated.", metavar="TEXT")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object with text, tokens, speeds.")] = False,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    seed: Seed = None,
    backend: BackendOption = "auto",
    threads: Threads = None,
    no_memory: NoMemory = False,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    context: Context = None,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Answer one prompt and leave.

    \b
    engram-local generate --prompt 'What is the capital of France?'
    engram-local generate my-model --raw --prompt 'Once upon a time' --max-tokens 40 --temperature 0.8 --seed 1
    echo 'What is the capital of France?' | engram-local generate --json
    """
    from engram_local.errors import EngramError
    from engram_local.generation import generate as run

    if prompt is None:
        if sys.stdin.isatty():
            raise typer.BadParameter("give --prompt TEXT, or the text on stdin")
        prompt = sys.stdin.read().strip()
    if raw and system:
        raise typer.BadParameter("--system needs the chat template, --raw leaves it out")
    if not prompt:
        raise EngramError("the prompt is empty; give --prompt TEXT, or the text on stdin")
    with _load(model, backend, threads, no_memory, table_access, ram_limit, context, verbose) as loaded:
        sampling = _sampling(loaded, temperature, top_k, top_p, min_p, repetition_penalty, seed)
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}] if system else prompt
        ids = loaded.prompt_ids(messages, raw)
        steps, pieces = [], []
        for step in run(loaded.session(), ids, max_tokens=max_tokens, stop=stop or (), **sampling):
            steps.append(step)
            pieces.append(step.text)
            if not json_output:
                print(step.text, end="", flush=True)
        last = steps[-1]
        if json_output:
            answer = {
                "text": "".join(pieces),
                "token_ids": [x.token_id for x in steps],
                "finish_reason": last.finish_reason,
                "n_prompt": last.n_prompt,
                "n_generated": last.n_generated,
                "prompt_tok_s": round(last.prompt_tok_s, 2),
                "decode_tok_s": round(last.decode_tok_s, 2),
                "memory": not no_memory,
                "backend": loaded.backend.name,
                "model": str(loaded.folder.path),
            }
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print()
        if verbose:
            speeds = f"{last.prompt_tok_s:.1f} tok/s; {last.n_generated} tokens, {last.decode_tok_s:.1f} tok/s"
            _say(f"prompt {last.n_prompt} tokens, {speeds}; ended by {last.finish_reason}")


@app.command()
def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="Folder or file of a trained checkpoint.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    base: Annotated[str | None, typer.Option(help="Hugging Face folder of the backbone, where it lies apart.")] = None,
    backend: Annotated[Literal["onnx", "gguf", "both"], typer.Option(help="Which backbones to write.")] = "onnx",
    tables: Annotated[Encoding, typer.Option(help="Encoding of the rows.")] = "int8",
    weights: Annotated[
        Literal["float32", "float16", "int8", "int4"], typer.Option(help="Encoding of the backbone's weights.")
    ] = "int8",
    debug: Debug = False,
) -> None:
    """Make a model folder of a trained checkpoint.

    \b
    engram-local export checkpoint my-model
    engram-local export adapters my-model --base Qwen3-0.6B --tables int4 --weights int4 --backend both
    """
    from engram_local.tools.export import export_model

    with _progress() as progress:
        export_model(
            checkpoint, out, base=base, backend=backend, tables=_encoding(tables), weights=weights, progress=progress
        )
    _say(f"{out} is ready: engram-local chat {out}")


@app.command()
def quantize(
    model: RequiredModel,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Model folder to make.")],
    tables: Annotated[Encoding, typer.Option(help="New encoding of the rows.")],
    debug: Debug = False,
) -> None:
    """Encode a model's tables anew, and report what that loses.

    \b
    engram-local quantize my-model my-model-int4 --tables int4
    """
    from engram_local.tools.quantize import quantize_model

    with _progress() as progress:
        quantize_model(model, out, _encoding(tables), progress=progress)
    _say(f"{out} is ready: engram-local chat {out}")


@app.command()
def inspect(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    rows: Annotated[
        str | None, typer.Option(help="Show which rows each token of this text reads.", metavar="TEXT")
    ] = None,
    debug: Debug = False,
) -> None:
    """Show what a model holds and how much memory it needs.

    \b
    engram-local inspect
    engram-local inspect my-model --json
    engram-local inspect --rows 'the capital of France'
    """
    from engram_local.inspection import print_model, print_rows

    if rows is None:
        print_model(model, json_output)
    else:
        print_rows(model, rows, json_output)


@app.command()
def verify(model: OptionalModel = None, json_output: JsonOutput = False, debug: Debug = False) -> None:
    """Re-read a model against its sizes and checksums, and say what that does not prove.

    \b
    engram-local verify my-model
    """
    from engram_local import verification
    from engram_local.model import POCKET

    findings = []
    with _progress() as progress:
        for finding in verification.verify(model or POCKET, progress):
            findings.append(finding)
            if not json_output:
                print({True: "ok  ", False: "BAD ", None: "note"}[finding.ok], f"{finding.file}: {finding.text}")
    bad = sum(x.ok is False for x in findings)
    if json_output:
        report = {"ok": not bad, "findings": [vars(x) for x in findings], "not_proven": verification.LIMITS}
        print(json.dumps(report, ensure_ascii=False))
    else:
        for text in verification.LIMITS:
            print("note", f"not proven: {text}")
    if bad:
        _fail(f"{model or POCKET}: {bad} of {len(findings)} checks failed; fetch or export the model again")


@app.command()
def bench(
    model: OptionalModel = None,
    json_file: Annotated[str | None, typer.Option("--json", help="Write the figures there.", metavar="FILE")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw them there (png, svg, pdf).", metavar="FILE")] = None,
    prompt_tokens: Annotated[int, typer.Option(help="Length of the prompt.", min=2)] = 256,
    tokens: Annotated[int, typer.Option(help="Tokens to generate.", min=2)] = 64,
    rounds: Annotated[int, typer.Option(help="Measurements of each kind; the median counts.", min=1)] = 5,
    backend: BackendOption = "auto",
    threads: Threads = None,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Measure prefill and decode with the memory off, resident and cold.

    Cold: the tables' pages are dropped from the page cache first. The kinds take turns within each round.

    \b
    engram-local bench
    engram-local bench my-model --json figures.json --plot figures.svg
    """
    from engram_local.bench import run_bench

    with _load(model, backend, threads, False, table_access, ram_limit, None, verbose) as loaded:
        run_bench(loaded, n_prompt=prompt_tokens, n_decode=tokens, rounds=rounds, json_file=json_file, plot_file=plot)


@app.command()
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

    with _progress() as progress:
        run(model, file, progress=progress)
    _say(f"{file} is ready: engram-local unpack {file} OUT")


@app.command()
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

    with _progress() as progress:
        run(file, out, progress=progress)
    _say(f"{out} is ready: engram-local chat {out}")


@app.command()
def attach(
    gguf: Annotated[str, typer.Argument(metavar="BACKBONE.gguf", help="A GGUF file, dense or mixture, quantized or not.")],
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
    _say(f"{out} is ready: engram-local chat {out}")


@app.command()
def warm(
    model: OptionalModel = None, table_access: Access = "auto", ram_limit: RamLimit = None, debug: Debug = False
) -> None:
    """Read a model's tables into memory, so that the first answers are as fast as the later ones.

    \b
    engram-local warm my-model
    """
    from engram_local.model import POCKET
    from engram_local.model_folder import ModelFolder
    from engram_local.sizes import format_size
    from engram_local.tables import Table

    folder = ModelFolder.open(model or POCKET)
    for layer in folder.engram.layers:
        with _progress() as progress, Table(folder.file(layer.table), access=table_access, ram_limit=_size(ram_limit)) as table:
            table.warm(lambda done, total, name=layer.table: progress(name, done, total))
            print(f"{layer.table}: {format_size(table.header.data_bytes)} read; access {table.access}: {table.why}")


def _load(model, backend, threads, no_memory, table_access, ram_limit, context, verbose):
    from engram_local.model import load

    loaded = load(
        model,
        backend=backend,
        threads=threads,
        memory=not no_memory,
        table_access=table_access,
        ram_limit=_size(ram_limit),
        context_length=context,
        verbose=verbose,
    )
    if verbose:
        _say(f"{loaded.folder.path}: backend {loaded.backend.name}, {loaded.threads} threads")
        for layer_id, table in loaded.tables.items():
            _say(f"table of layer {layer_id}: access {table.access}: {table.why}")
    return loaded


def _sampling(model, temperature, top_k, top_p, min_p, repetition_penalty, seed) -> dict:
    """Sampling options: those given, else the model's generation_config.json, else greedy."""
    own = model.folder.generation_config()
    given = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
    }
    if not own.get("do_sample", False):
        own = {key: own[key] for key in ("repetition_penalty",) if key in own}
    elif "temperature" not in own:
        own = {**own, "temperature": 1.0}
    chosen = {key: value if value is not None else own.get(key) for key, value in given.items()}
    return {key: value for key, value in chosen.items() if value is not None} | {"seed": seed}


def _size(text: str | None) -> int | None:
    from engram_local.sizes import parse_size

    return None if text is None else parse_size(text)


def _encoding(name: str) -> str:
    return {"fp8": "fp8_e4m3"}.get(name, name)


def _progress():
    from engram_local.progress import progress_bar

    return progress_bar()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _fail(text: str) -> None:
    """One line on stderr, exit code 1."""
    _say(f"engram-local: {text}")
    raise typer.Exit(1)


def _report(error: Exception) -> int:
    """Say what went wrong in one line; returns the exit code. Errors that are no EngramError are this package's faults,
    but for those of the system."""
    from engram_local.errors import EngramError

    text = " ".join(str(error).split())
    if isinstance(error, EngramError):
        _say(f"engram-local: {text}")
    elif isinstance(error, MemoryError):
        _say("engram-local: out of memory; try --context with fewer tokens, --ram-limit, or smaller weights")
    elif isinstance(error, OSError):
        _say(f"engram-local: {text}")
    elif isinstance(error, ImportError):
        _say(f"engram-local: {text}; install what is missing (pip install 'engram_local[export,gguf,plot]')")
    else:
        _say(f"engram-local: {type(error).__name__}: {text}; this is a fault of engram-local, --debug shows where")
    return 1


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 it failed (one line on stderr says what and what to do), 2 wrong usage."""
    try:
        app()
    except BrokenPipeError:
        _leave_quietly()
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        sys.exit(_report(error))


def _leave_quietly() -> None:
    """The reader of our output went away (head, less): nothing to say, and nothing to flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


if __name__ == "__main__":
    main()
