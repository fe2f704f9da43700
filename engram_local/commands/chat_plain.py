"""engram-local chat through pipes: one message a line in, one reply a line out."""

import sys

from engram_local.commands.chat_commands import IN_TERMINALS, Quit, View, ask, command_of, message_of, obey
from engram_local.commands.gate_view import gate_lines
from engram_local.commands.terminal import one_line, say, show
from engram_local.commands.timings import Timings
from engram_local.conversation import Conversation, Steps
from engram_local.errors import EngramError, UsageError
from engram_local.generation import most_characters


def run_plain(conversation: Conversation, view: View | None = None) -> bool:
    """Each line of stdin is a turn of one conversation; its reply is one line of stdout, or one with memory and one
    without. Commands answer on stderr; a line that begins with another /word is a message. A line that fails is one
    line on stderr and the next goes on; returns whether none did."""
    view = view or View()
    n_failed = 0
    most = most_characters(conversation.model.context_length)
    while line := sys.stdin.readline(most + 1):
        whole = line.endswith("\n") or len(line) <= most
        try:
            if not whole:
                while (rest := sys.stdin.readline(most)) and not rest.endswith("\n"):
                    pass
                raise UsageError(f"a line has more than {most} characters, the model takes fewer; shorten it")
            _turn(conversation, line.strip(), view)
        except Quit:
            break
        except EngramError as error:
            n_failed += 1
            say(f"engram-local: {one_line(error)}")
    return not n_failed


def _turn(conversation: Conversation, text: str, view: View) -> None:
    """Obey or answer a line."""
    steps = None
    name = command_of(text) if text else None
    if name in IN_TERMINALS:
        raise UsageError(f"{name} works in a terminal only; // sends a message that begins with /")
    if name is not None:
        steps = obey(conversation, text, say, view)
    elif text:
        steps = ask(conversation, message_of(text), say)
    if steps is None:
        return
    timings = Timings(conversation.model)
    memory, n_replies = conversation.memory, conversation.n_replies
    show(_label(view, memory) + _whole(timings.watch(steps)))
    if view.timings:
        say(timings.line())
    if conversation.n_replies == n_replies:
        return
    if view.gate and memory:
        for line in gate_lines(conversation.gates()):
            say(line)
    if view.both:
        show(_label(view, not memory) + _whole(conversation.contrast()))


def _whole(steps: Steps) -> str:
    return " ".join("".join(step.text for step in steps).split())


def _label(view: View, memory: bool) -> str:
    return f"memory {'on' if memory else 'off'}: " if view.both else ""
