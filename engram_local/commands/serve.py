"""engram-local serve."""

from typing import Annotated

import typer

from engram_local.commands.options import LoadOptions, OptionalModel, command
from engram_local.commands.settings import variable
from engram_local.commands.terminal import say
from engram_local.errors import EngramError, MissingSoftwareError


@command()
def serve(
    model: OptionalModel = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; other machines reach 0.0.0.0.", metavar="ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, metavar="N")] = 8080,
    slots: Annotated[int, typer.Option(help="Answers at once, each with a context.", min=1, max=256, metavar="N")] = 4,
    queue: Annotated[int, typer.Option(help="Answers that may wait for a slot.", min=0, metavar="N")] = 64,
    time_limit: Annotated[
        float, typer.Option(help="Seconds that a request may take, waiting included.", min=1, metavar="SECONDS")
    ] = 600,
    drain: Annotated[
        float, typer.Option(help="Seconds that running answers have to end after SIGTERM.", min=1, metavar="SECONDS")
    ] = 30,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Clients must send it; may be repeated. Environment: ENGRAM_LOCAL_API_KEY.",
            metavar="KEY",
            envvar=variable("api_key"),
            show_envvar=False,
        ),
    ] = None,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Serve other machines without an API key: whoever reaches it uses it.")
    ] = False,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="A web origin whose pages may ask (https://example.org); may be repeated.", metavar="ORIGIN"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the model is called; by default as its folder.", metavar="NAME")
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="Serve the protocol alone, no web page.")] = False,
    *,
    loading: LoadOptions,
) -> None:
    """Serve a model over HTTP in OpenAI's protocol, and a web page.

    Several requests share each step of the model. By default only this
    machine reaches it: open http://127.0.0.1:8080, or point any client of
    OpenAI's at http://127.0.0.1:8080/v1. It needs the extra `serve`.

    \b
    Examples:
      engram-local serve
      engram-local serve my-model --slots 8 --port 9000
      engram-local serve my-model --host 0.0.0.0 --api-key "$KEY"
    """
    try:
        from engram_local.serving.door import is_loopback
        from engram_local.serving.options import ServeOptions
        from engram_local.serving.server import serve
    except ImportError as error:
        raise MissingSoftwareError(f"{error.name} is missing; pip install 'engram_local[serve]'") from error

    if not is_loopback(host) and not api_key and not without_key:
        raise EngramError(
            f"--host {host} lets other machines in; add --api-key KEY, or --without-key to let everybody use it"
        )
    if any(not key.strip() for key in api_key or ()):
        raise EngramError("--api-key is empty; give a text that is hard to guess")
    options = ServeOptions(
        host=host,
        port=port,
        n_slots=slots,
        queue_limit=queue,
        time_limit=time_limit,
        drain_s=drain,
        api_keys=tuple(api_key or ()),
        origins=tuple(cors or ()),
        name=name,
        page=not no_page,
    )
    with loading.load(model, n_slots=slots) as loaded:
        say(_memory(loaded.folder, loaded.backend.name, loaded.context_length, slots))
        serve(loaded, options, lambda address: say(f"{loaded.folder.path.name} at {address}"))


def _memory(folder: object, backend: str, context_length: int, slots: int) -> str:
    """A line about what the slots take."""
    from engram_local.commands.inspection import context_bytes_per_token
    from engram_local.model_folder import ModelFolder
    from engram_local.sizes import format_size

    assert isinstance(folder, ModelFolder)
    what = f"{slots} slots of {context_length:,} tokens"
    per_token = context_bytes_per_token(folder, backend)
    if per_token is None:
        return what
    return f"{what}: up to {format_size(slots * context_length * per_token)} ({format_size(per_token)} a token)"
