"""engram-local chat. chat_terminal.py talks to people, chat_plain.py to pipes."""

from typing import Annotated

import typer

from engram_local import __version__
from engram_local.commands.options import (
    Both,
    LoadOptions,
    Lookup,
    MaxTokens,
    OptionalModel,
    SamplingOptions,
    ShowTimings,
    Stop,
    System,
    TemplateArgs,
    command,
    say_of_system,
    template_variables,
)


@command()
def chat(
    model: OptionalModel = None,
    system: System = None,
    template_arg: TemplateArgs = None,
    stop: Stop = None,
    load_file: Annotated[
        str | None, typer.Option("--load", help="Go on with a conversation that /save wrote.", metavar="FILE")
    ] = None,
    max_tokens: MaxTokens = None,
    lookup: Lookup = False,
    both: Both = False,
    timings: ShowTimings = False,
    *,
    sampling: SamplingOptions,
    loading: LoadOptions,
) -> None:
    """Talk to a model.

    In a terminal: /help lists the commands, /memory off leaves the tables
    out live, Ctrl-C stops an answer. Where stdin or stdout is no terminal:
    one message a line in, one reply a line out, each line a turn of one
    conversation. When the context is full the oldest turns are dropped, and
    the chat says so.

    \b
    Examples:
      engram-local chat
      engram-local chat my-model --no-memory
      engram-local chat --both
      printf 'What is the capital of France?\\n' | engram-local chat
    """
    from engram_local.commands.chat_commands import View
    from engram_local.commands.chat_terminal import run_chat
    from engram_local.conversation import Conversation

    variables = template_variables(template_arg)
    with loading.load(model) as loaded:
        conversation = Conversation(
            loaded,
            memory=not loading.no_memory,
            system=system,
            max_tokens=max_tokens,
            variables=variables,
            **sampling.for_model(loaded),
        )
        say_of_system(loaded, system)
        conversation.stop, conversation.lookup = tuple(stop or ()), lookup
        if load_file is not None:
            conversation.load(load_file)
        title = f"engram-local {__version__}: {loaded.folder.path.name}, {loaded.backend.name}"
        if not run_chat(conversation, title, View(both=both, timings=timings)):
            raise typer.Exit(1)
