"""engram-local quantize."""

from engram_local.commands.options import (
    Calibrate,
    Encoding,
    JsonOutput,
    OutFolder,
    OutputFile,
    ProgressStyle,
    RequiredModel,
    command,
)
from engram_local.commands.terminal import Result, quoted, say, show, work


@command()
def quantize(
    model: RequiredModel,
    out: OutFolder,
    tables: Encoding,
    calibrate: Calibrate = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Encode a model's tables anew, and print what that loses.

    Linked tables become files of the new folder. After an interruption the
    same command goes on with the tables that it had finished.

    \b
    Examples:
      engram-local quantize my-model my-model-int4 --tables int4
      engram-local quantize my-model my-model-int4 --tables int4 --calibrate my-text.txt
    """
    from engram_local.tools.export.tables import report_lines
    from engram_local.tools.quantize import quantize_model

    result = Result(json_output, output)
    with work(out, progress) as report:
        info = quantize_model(model, out, tables, calibrate=calibrate, progress=report)
    if not result.give({"out": out, **info}):
        show("\n".join(report_lines(info)))
    say(f"{out} is ready: engram-local chat {quoted(out)}")
