"""engram-local quantize."""

from engram_local.commands.options import Calibrate, Encoding, OutFolder, RequiredModel, command
from engram_local.commands.terminal import quoted, say, show, work


@command()
def quantize(model: RequiredModel, out: OutFolder, tables: Encoding, calibrate: Calibrate = None) -> None:
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

    with work(out) as progress:
        info = quantize_model(model, out, tables, calibrate=calibrate, progress=progress)
    show("\n".join(report_lines(info)))
    say(f"{out} is ready: engram-local chat {quoted(out)}")
