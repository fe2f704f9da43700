"""The engram-local command: a thin function a command, which imports what it needs when it runs, so help is fast."""

import json
import os
import sys
from typing import Annotated

import typer

from engram_local import __version__
from engram_local.commands import make
from engram_local.commands.options import (
    Access,
    BackendOption,
    Context,
    Debug,
    GpuLayers,
    JsonOutput,
    MaxTokens,
    MinP,
    NoMemory,
    OptionalModel,
    Penalty,
    RamLimit,
    Seed,
    System,
    Temperature,
    Threads,
    TopK,
    TopP,
    Verbose,
    progress,
    say,
)

app = typer.Typer(
    name="engram-local",
    help="Run language models with conditional memory (Engram): the facts lie in tables on disk, the language in a "
    "small backbone. MODEL is a model folder; left out, it is the pocket model that ships with the package.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


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
    gpu_layers: GpuLayers = None,
    no_memory: NoMemory = False,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    context: Context = None,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Talk to a model.

    In a terminal: /help lists the commands, /memory off leaves the tables
    out live, Ctrl-C stops an answer. Where stdin or stdout is no terminal:
    one message a line in, one reply a line out, each line a turn of one
    conversation. When the context is full the oldest turns are dropped, and
    the chat says so.

    \b
    engram-local chat
    engram-local chat my-model --no-memory
    printf 'What is the capital of France?\\n' | engram-local chat
    """
    from engram_local.commands.chat import run_chat
    from engram_local.conversation import Conversation

    with _load(model, backend, threads, gpu_layers, no_memory, table_access, ram_limit, context, verbose) as loaded:
        sampling = loaded.sampling(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
        )
        conversation = Conversation(loaded, memory=not no_memory, system=system, max_tokens=max_tokens, **sampling)
        run_chat(conversation, f"engram-local {__version__}: {loaded.folder.path.name}, {loaded.backend.name}")


@app.command()
def generate(
    model: OptionalModel = None,
    prompt: Annotated[str | None, typer.Option(help="The text; left out, stdin is read.", metavar="TEXT")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text itself, without the chat template.")] = False,
    system: System = None,
    stop: Annotated[list[str] | None, typer.Option(help="End at this text; may be repeated.", metavar="TEXT")] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with text, tokens, speeds.")
    ] = False,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: Penalty = None,
    seed: Seed = None,
    backend: BackendOption = "auto",
    threads: Threads = None,
    gpu_layers: GpuLayers = None,
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
    from engram_local.commands.chat import NO_CONTROLS
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
    with _load(model, backend, threads, gpu_layers, no_memory, table_access, ram_limit, context, verbose) as loaded:
        sampling = loaded.sampling(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
        )
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}] if system else prompt
        ids = loaded.prompt_ids(messages, raw)
        steps, pieces, hidden = [], [], NO_CONTROLS if sys.stdout.isatty() else {}
        for step in run(loaded.session(), ids, max_tokens=max_tokens, stop=stop or (), **sampling):
            steps.append(step)
            pieces.append(step.text)
            if not json_output:
                print(step.text.translate(hidden), end="", flush=True)
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
            say(f"prompt {last.n_prompt} tokens, {speeds}; ended by {last.finish_reason}")


@app.command()
def inspect(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    rows: Annotated[
        str | None, typer.Option(help="Show which rows each token of this text reads.", metavar="TEXT")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Show how much of each table is in memory now.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a model holds and how much memory it needs.

    \b
    engram-local inspect
    engram-local inspect my-model --json
    engram-local inspect my-model --live
    engram-local inspect --rows 'the capital of France'
    """
    from engram_local.commands.inspect import print_model, print_rows

    if rows is not None and live:
        raise typer.BadParameter("--rows and --live exclude each other")
    if rows is None:
        print_model(model, json_output, live)
    else:
        print_rows(model, rows, json_output)


@app.command()
def verify(model: OptionalModel = None, json_output: JsonOutput = False, debug: Debug = False) -> None:
    """Re-read a model against its sizes and checksums, and say what that does not prove.

    \b
    engram-local verify my-model
    """
    from engram_local import verification
    from engram_local.model_folder import POCKET

    findings = []
    with progress() as show:
        for finding in verification.verify(model or POCKET, show):
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
    prompt_tokens: Annotated[int, typer.Option(help="Length of the prompt.", min=2, metavar="N")] = 256,
    tokens: Annotated[int, typer.Option(help="Tokens to generate.", min=2, metavar="N")] = 64,
    rounds: Annotated[int, typer.Option(help="Measurements of each kind; the median counts.", min=1, metavar="N")] = 5,
    compare: Annotated[
        bool, typer.Option("--compare", help="The backbone alone, beside llama-cpp-python and onnxruntime-genai.")
    ] = False,
    table: Annotated[bool, typer.Option("--table", help="Lookups alone, on a generated table; no model.")] = False,
    table_size: Annotated[str, typer.Option(help="Size of that table.", metavar="SIZE")] = "8GiB",
    table_folder: Annotated[str | None, typer.Option(help="Where to write it.", metavar="FOLDER")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it there, and use it again.")] = False,
    backend: BackendOption = "auto",
    threads: Threads = None,
    gpu_layers: GpuLayers = None,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Measure prefill and decode with the memory off, resident and cold.

    Cold: the tables' pages are dropped from the page cache first. The kinds
    take turns within each round.

    \b
    engram-local bench
    engram-local bench my-model --json figures.json --plot figures.svg
    engram-local bench my-model --compare
    engram-local bench --table --table-size 8GiB
    """
    if (table or compare) and (plot or (table and (compare or model))):
        raise typer.BadParameter("--table, --compare and --plot exclude each other, and --table takes no MODEL")
    if table:
        from engram_local.commands.bench_table import run_table_bench

        run_table_bench(n_bytes=_size(table_size), folder=table_folder, keep=keep, json_file=json_file)
        return
    if compare:
        from engram_local.machine import physical_cores
        from engram_local.model_folder import POCKET
        from engram_local.tools.compare.backbones import run_compare

        run_compare(model or POCKET, threads or physical_cores(), prompt_tokens, tokens, rounds, json_file)
        return
    from engram_local.commands.bench import run_bench

    with _load(model, backend, threads, gpu_layers, False, table_access, ram_limit, None, verbose) as loaded:
        run_bench(
            loaded,
            n_prompt=prompt_tokens,
            n_decode=tokens,
            rounds=rounds,
            cold_access="mmap" if table_access == "mmap" else "direct",
            json_file=json_file,
            plot_file=plot,
        )


@app.command()
def warm(
    model: OptionalModel = None,
    table_access: Access = "auto",
    ram_limit: RamLimit = None,
    debug: Debug = False,
) -> None:
    """Read a model's tables into memory, so that the first answers are as fast as the later ones.

    \b
    engram-local warm my-model
    """
    from engram_local.model import open_tables
    from engram_local.model_folder import POCKET, ModelFolder
    from engram_local.sizes import format_size

    folder = ModelFolder.open(model or POCKET)
    for layer_id, table in open_tables(folder, table_access, _size(ram_limit)).items():
        name = folder.engram.layer(layer_id).table
        with progress() as show, table:
            n_read = table.warm(lambda done, total, name=name: show(name, done, total))
            print(f"{name}: {format_size(n_read)} read; access {table.access}: {table.why}")


for command in (make.export, make.quantize, make.attach, make.pack, make.unpack):
    app.command()(command)


def _load(model, backend, threads, gpu_layers, no_memory, table_access, ram_limit, context, verbose):
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
        **({} if gpu_layers is None else {"n_gpu_layers": gpu_layers}),
    )
    if verbose:
        say(f"{loaded.folder.path}: backend {loaded.backend.name}, {loaded.threads} threads")
        for layer_id, table in loaded.tables.items():
            say(f"table of layer {layer_id}: access {table.access}: {table.why}")
    return loaded


def _size(text: str | None) -> int | None:
    from engram_local.sizes import parse_size

    return None if text is None else parse_size(text)


def _fail(text: str) -> None:
    """One line on stderr, exit code 1."""
    say(f"engram-local: {text}")
    raise typer.Exit(1)


def _report(error: Exception) -> int:
    """Say what went wrong in one line; returns the exit code. Errors that are no EngramError are this package's faults,
    but for those of the system."""
    from engram_local.errors import EngramError

    text = " ".join(str(error).split())
    if isinstance(error, EngramError):
        say(f"engram-local: {text}")
    elif isinstance(error, MemoryError):
        say("engram-local: out of memory; try --context with fewer tokens, --ram-limit, or smaller weights")
    elif isinstance(error, OSError):
        say(f"engram-local: {text}")
    elif isinstance(error, ImportError):
        say(f"engram-local: {text}; install what is missing (pip install 'engram_local[export,gguf,plot]')")
    else:
        say(f"engram-local: {type(error).__name__}: {text}; this is a fault of engram-local, --debug shows where")
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
