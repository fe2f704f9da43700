"""engram-local get."""

from typing import Annotated

import typer

from engram_local.commands.options import JsonOutput, OutputFile, ProgressStyle, command
from engram_local.commands.terminal import Result, quoted, say, work


@command()
def get(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the Hugging Face hub, or HF_ENDPOINT.")],
    name: Annotated[
        str | None, typer.Option(help="What to call the model here; by default as the repository.", metavar="NAME")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.", metavar="REVISION")] = None,
    file: Annotated[
        str | None, typer.Option(help="Which archive, where the repository holds several.", metavar="FILE.tar.zst")
    ] = None,
    json_output: JsonOutput = False,
    output: OutputFile = None,
    progress: ProgressStyle = "auto",
) -> None:
    """Fetch a model folder, or a packed one, and give it a name.

    The repository holds the folder's files, or an archive made by pack.
    Each file is compared with the manifest. After an interruption the same
    command goes on where it stopped. Needs the extra hub.

    \b
    Examples:
      engram-local get somebody/my-model
      engram-local get somebody/models --file my-model.tar.zst --name my-model
      engram-local chat my-model
    """
    from engram_local.model_store import place_of
    from engram_local.tools.hub import get as run

    result = Result(json_output, output)
    name = name or repo.rpartition("/")[2].removesuffix(".git")
    out = place_of(name)
    with work(str(out), progress) as report:
        info = run(repo, out, revision=revision, file=file, progress=report)
    result.give({"name": name, "out": str(out), **info})
    say(f"{name} is ready: engram-local chat {quoted(name)}")
