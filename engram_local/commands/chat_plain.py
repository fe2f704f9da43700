"""engram-local chat through pipes: one message a line in, one reply a line out."""

import sys

from engram_local.commands.chat_commands import IN_TERMINALS, Quit, ask, command_of, message_of, obey
from engram_local.commands.terminal import one_line, say, show
from engram_local.conversation import Conversation
from engram_local.errors import EngramError, UsageError
from engram_local.generation import most_characters


def run_plain(conversation: Conversation) -> bool:
    """Each line of stdin is a turn of one conversation; its reply is one line of stdout. Commands answer on stderr;
    a line that begins with another /word is a message. A line that fails is one line on stderr and the next goes on;
    returns whether none did."""
    n_failed = 0
    most = most_characters(conversation.model.context_length)
    while line := sys.stdin.readline(most + 1):
        whole = line.endswith("\n") or len(line) <= most
        try:
            if not whole:
                while (rest := sys.stdin.readline(most)) and not rest.endswith("\n"):
                    pass
                raise UsageError(f"a line has more than {most} characters, the model takes fewer; shorten it")
            _turn(conversation, line.strip())
        except Quit:
            break
        except EngramError as error:
            n_failed += 1
            say(f"engram-local: {one_line(error)}")
    return not n_failed


def _turn(conversation: Conversation, text: str) -> None:
    """Obey or answer a line."""
    steps = None
    name = command_of(text) if text else None
    if name in IN_TERMINALS:
        raise UsageError(f"{name} works in a terminal only; // sends a message that begins with /")
    if name is not None:
        steps = obey(conversation, text, say)
    elif text:
        steps = ask(conversation, message_of(text), say)
    if steps is not None:
        show(" ".join("".join(step.text for step in steps).split()))
