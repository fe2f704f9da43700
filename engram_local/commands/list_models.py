"""engram-local list."""

from engram_local.commands.options import JsonOutput, OutputFile, command
from engram_local.commands.terminal import Result, say, show


@command()
def list_models(json_output: JsonOutput = False, output: OutputFile = None) -> None:
    """List the models that have a name.

    They lie in ENGRAM_LOCAL_MODELS, by default in the user's data folder.

    \b
    Examples:
      engram-local list
    """
    from engram_local.model_store import installed, models_folder
    from engram_local.sizes import format_size

    result, found = Result(json_output, output), installed()
    models = [{"name": name, "bytes": n_bytes} for name, n_bytes in found]
    if result.give({"folder": str(models_folder()), "models": models}):
        return
    width = max((len(name) for name, _ in found), default=0)
    for name, n_bytes in found:
        show(f"{name:<{width}}  {format_size(n_bytes)}")
    if not found:
        say(f"no models in {models_folder()}; engram-local get REPO fetches one")
