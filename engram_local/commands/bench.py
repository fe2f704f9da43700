"""engram-local bench. bench_model.py measures a model, bench_table.py lookups alone."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, LoadOptions, OptionalModel, OutputFile, ProgressStyle, command
from engram_local.commands.terminal import Result
from engram_local.progress import progress_bar


@command(without=("no_memory", "context"))
def bench(
    model: OptionalModel = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
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
    progress: ProgressStyle = "auto",
    *,
    loading: LoadOptions,
) -> None:
    """Measure prefill and decode with the memory off, resident and cold.

    Cold: the tables' pages are dropped from the page cache first; left out
    where they stay. The kinds take turns within each round.

    \b
    Examples:
      engram-local bench
      engram-local bench my-model --output figures.json --plot figures.svg
      engram-local bench my-model --compare
      engram-local bench --table --table-size 8GiB
    """
    if (table or compare) and (plot or (table and (compare or model))):
        raise typer.BadParameter("--table, --compare and --plot exclude each other, and --table takes no MODEL")
    result = Result(json_output, output)
    if table:
        from engram_local.commands.bench_table import run_table_bench
        from engram_local.sizes import parse_size

        with progress_bar(progress) as report:
            run_table_bench(
                n_bytes=parse_size(table_size), folder=table_folder, keep=keep, result=result, progress=report
            )
        return
    if compare:
        from engram_local.machine import physical_cores
        from engram_local.model_folder import POCKET
        from engram_local.tools.compare.backbones import run_compare

        run_compare(model or POCKET, loading.threads or physical_cores(), prompt_tokens, tokens, rounds, result)
        return
    from engram_local.commands.bench_model import run_bench

    with loading.load(model) as loaded, progress_bar(progress) as report:
        run_bench(
            loaded,
            n_prompt=prompt_tokens,
            n_decode=tokens,
            rounds=rounds,
            cold_access="mmap" if loading.table_access == "mmap" else "direct",
            plot_file=plot,
            result=result,
            progress=report,
        )
