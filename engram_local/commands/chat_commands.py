"""What lines that begin with "/" do in a chat."""

from collections.abc import Callable

from engram_local.conversation import Conversation, Steps
from engram_local.errors import UsageError
from engram_local.sizes import format_size

HELP = """\
/help              this list
/memory on|off     with or without the Engram tables; the conversation stays
/think on|off      whether the model thinks before it answers, where it can
/regenerate        answer the last message again
/reset             forget the conversation
/stats             speed, context and table reads
/save FILE         write the conversation as JSON
/quit              leave (or Ctrl-D)
//TEXT             send a message that begins with /
Ctrl-C stops an answer. Alt-Enter starts a new line, Up finds earlier messages."""

Say = Callable[[str], None]


class Quit(Exception):
    """The chat is over."""


def is_command(text: str) -> bool:
    """Whether a line is for the chat itself: `//TEXT` is a message."""
    return text.startswith("/") and not text.startswith("//")


def message_of(text: str) -> str:
    """The message of a line that is no command."""
    return text.removeprefix("/") if text.startswith("//") else text


def obey(conversation: Conversation, text: str, say: Say) -> Steps | None:
    """Obey a command. Returns an answer to stream (/regenerate), or None. Raises Quit, UsageError."""
    name, _, argument = text.partition(" ")
    argument = argument.strip()
    if name in ("/quit", "/exit"):
        raise Quit
    if name == "/regenerate":
        return conversation.regenerate()
    if name == "/help":
        say(HELP)
    elif name == "/reset":
        conversation.reset()
        say("The conversation is forgotten.")
    elif name == "/memory":
        if argument not in ("on", "off", ""):
            raise UsageError("write /memory on or /memory off")
        if argument:
            conversation.set_memory(argument == "on")
        say(f"Memory is {'on' if conversation.memory else 'off'}.")
    elif name == "/think":
        if argument not in ("on", "off"):
            raise UsageError("write /think on or /think off")
        conversation.set_thinking(argument == "on")
        say(f"Thinking is {argument}.")
    elif name == "/stats":
        say(stats_text(conversation))
    elif name == "/save":
        if not argument:
            raise UsageError("write /save FILE")
        conversation.save(argument)
        say(f"Saved to {argument}.")
    else:
        raise UsageError(f"{name} is no command; /help lists them, and // sends a message that begins with /")
    return None


def stats_text(conversation: Conversation) -> str:
    """What /stats shows."""
    session, last = conversation.session, conversation.last_step
    lines = [
        f"context  {session.length} of {session.context_length} tokens, memory {'on' if session.memory else 'off'}"
    ]
    if last is not None:
        lines.append(
            f"answer   {last.n_generated} tokens, {last.decode_tok_s:.1f} tok/s; prompt {last.n_prompt} tokens "
            f"({last.n_reused} already evaluated), {last.prompt_tok_s:.1f} tok/s"
        )
    stats = session.stats
    if session.memory and stats.forward_s:
        share = stats.lookup_s / stats.forward_s
        lines.append(
            f"lookups  {1e6 * stats.lookup_s / stats.n_tokens:.1f} µs a token, {share:.2%} of the model's time"
        )
    for layer_id, table in conversation.model.tables.items():
        size = format_size(table.n_rows * table.row_bytes)
        lines.append(
            f"table    layer {layer_id}: {table.n_rows:,} rows, {size}, {table.encoding}, {table.access} ({table.why})"
        )
    return "\n".join(lines)


def ask(conversation: Conversation, text: str, say: Say) -> Steps:
    """The answer to a message, to be streamed; says what had to be dropped for it."""
    steps = conversation.reply(text)
    if n := conversation.n_dropped:
        say(f"The context is full: the {n} oldest turn{'s were' if n > 1 else ' was'} dropped.")
    return steps
