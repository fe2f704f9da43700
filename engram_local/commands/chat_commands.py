"""What lines that begin with "/" do in a chat."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engram_local.conversation import Conversation, Steps
from engram_local.errors import UsageError
from engram_local.sizes import format_size

HELP = """\
/help              this list
/memory on|off     with or without the Engram tables; the conversation stays
/both on|off       each answer with the memory and without
/gate on|off       how far the gates opened at each token, and which n-gram it looked up
/pretend A = B     the n-grams of the name A read the rows of B; alone: the list; /pretend off ends it
/think on|off      whether the model thinks before it answers, where it can
/regenerate        answer the last message again
/undo              take the last turn back
/edit              change the last message in $EDITOR and send it again
/system TEXT       another system message; without TEXT none
/set NAME VALUE    temperature, top_k, max_tokens, stop, ...; /set alone lists them
/reset             forget the conversation
/stats             speed, context and table reads
/timings on|off    a line behind each answer: tokens, speed, rows read, cache hits
/save FILE         write the conversation as JSON
/load FILE         go on with one that /save wrote
/copy              the last answer into the clipboard
/plain on|off      answers as they come, without wrapped words and marked code
/quit              leave (or Ctrl-D)
//TEXT             send a message that begins with /
Ctrl-C stops an answer. Alt-Enter starts a new line, Up finds earlier messages, Tab completes."""
COMMANDS = [line.split()[0] for line in HELP.splitlines() if line.startswith("/") and line[1] != "/"]
ALIASES = {"/exit": "/quit", "/bye": "/quit", "/?": "/help", "/clear": "/reset", "/regen": "/regenerate"}  # of others
IN_TERMINALS = ("/edit", "/save", "/load", "/copy", "/plain")  # they touch files, or the screen
CLIPBOARDS = (["wl-copy"], ["xclip", "-selection", "clipboard"], ["xsel", "-b"], ["pbcopy"], ["clip.exe"])

SWITCHES = {
    "/both": ("both", "Each answer is given with memory and without.", "One answer is given."),
    "/gate": ("gate", "Gates are shown.", "Gates are not shown."),
    "/timings": ("timings", "Timings are shown.", "Timings are not shown."),
    "/plain": ("plain", "Answers are shown as they come.", "Answers are shown wrapped."),
}

Say = Callable[[str], None]


@dataclass
class View:
    """What is shown beside an answer, and how."""

    both: bool = False  # the answer with the memory the other way round
    gate: bool = False  # what its tokens looked up
    timings: bool = False
    plain: bool = False  # the answer as it comes, nothing wrapped


class Quit(Exception):
    """The chat is over."""


def command_of(text: str) -> str | None:
    """The command that a line begins with, as it is listed; None where it begins with none of them."""
    name = text.split()[0].lower() if text.startswith("/") else ""
    name = ALIASES.get(name, name)
    return name if name in COMMANDS else None


def message_of(text: str) -> str:
    """The message of a line that is no command: `//TEXT` is one that begins with a slash."""
    return text.removeprefix("/") if text.startswith("//") else text


def obey(conversation: Conversation, text: str, say: Say, view: View | None = None) -> Steps | None:
    """Obey a command; `view` is what it may switch. Returns an answer to stream (/regenerate, /edit), or None. Raises
    Quit, UsageError."""
    name, argument = command_of(text), text.partition(" ")[2].strip()
    if name is None:
        raise UsageError(f"{text.split()[0]} is no command; /help lists them, and // sends what begins with /")
    if name == "/quit":
        raise Quit
    if name == "/regenerate":
        return conversation.regenerate()
    if name == "/edit":
        edited = _edited(conversation.last_question())
        conversation.undo()
        return ask(conversation, edited, say)
    if name in SWITCHES:
        field, *sayings = SWITCHES[name]
        on = _switch(name, argument)
        setattr(view or View(), field, on)
        say(sayings[not on])
        return None
    _SAYING[name](conversation, argument, say)
    return None


def ask(conversation: Conversation, text: str, say: Say) -> Steps:
    """The answer to a message, to be streamed; says what had to be dropped for it."""
    steps = conversation.reply(text)
    if n := conversation.n_dropped:
        limit, longest = conversation.limit, conversation.model.context_length
        why = "the model's own limit" if limit < longest else "the context's length"
        dropped = f"the {n} oldest turn{'s were' if n > 1 else ' was'} dropped"
        say(f"The context is full ({limit} tokens, {why}): {dropped}.")
    return steps


def _help(conversation: Conversation, argument: str, say: Say) -> None:
    say(HELP)


def _reset(conversation: Conversation, argument: str, say: Say) -> None:
    conversation.reset()
    say("The conversation is forgotten.")


def _memory(conversation: Conversation, argument: str, say: Say) -> None:
    if argument:
        conversation.set_memory(_switch("/memory", argument))
    say(f"Memory is {'on' if conversation.memory else 'off'}.")


def _pretend(conversation: Conversation, argument: str, say: Say) -> None:
    name, equals, other = (x.strip() for x in argument.partition("="))
    if equals and name and other:
        conversation.pretend(conversation.pretended | {name: other})
    elif argument.lower() == "off":
        conversation.pretend({})
    elif argument:
        raise UsageError("write /pretend France = Japan, or /pretend off")
    for name, other in conversation.pretended.items():
        say(f"{name} is read as {other}.")
    if not conversation.pretended:
        say("Every name is read as itself.")
    elif not conversation.memory:
        say("Memory is off, so nothing is read; /memory on.")


def _think(conversation: Conversation, argument: str, say: Say) -> None:
    on = _switch("/think", argument)
    conversation.set_thinking(on)
    say(f"Thinking is {'on' if on else 'off'}.")


def _undo(conversation: Conversation, argument: str, say: Say) -> None:
    conversation.undo()
    say("The last turn is taken back.")


def _system(conversation: Conversation, argument: str, say: Say) -> None:
    conversation.set_system(argument)
    if argument and not conversation.template.takes_system:
        say("This model's chat template has no system message; the text goes in front of the first message.")
    say("The system message is set." if argument else "There is no system message now.")


def _set(conversation: Conversation, argument: str, say: Say) -> None:
    name, _, value = argument.partition(" ")
    if name:
        conversation.set_option(name.replace("-", "_"), value.strip())
    for key, now in conversation.options().items():
        if not name or key == name.replace("-", "_"):
            say(f"{key} is {', '.join(map(repr, now)) if isinstance(now, tuple) else now}".rstrip())


def _stats(conversation: Conversation, argument: str, say: Say) -> None:
    say(stats_text(conversation))


def _save(conversation: Conversation, argument: str, say: Say) -> None:
    if not argument:
        raise UsageError("write /save FILE")
    conversation.save(argument)
    say(f"Saved to {argument}.")


def _load(conversation: Conversation, argument: str, say: Say) -> None:
    if not argument:
        raise UsageError("write /load FILE")
    conversation.load(argument)
    say(f"{len(conversation.messages)} messages are loaded.")


def _copy(conversation: Conversation, argument: str, say: Say) -> None:
    answers = [m["content"] for m in conversation.messages if m["role"] == "assistant"]
    if not answers:
        raise UsageError("there is no answer to copy")
    tool = next((x for x in CLIPBOARDS if shutil.which(x[0])), None)
    if tool is None:
        raise UsageError(f"no clipboard is there; install one of {', '.join(x[0] for x in CLIPBOARDS)}")
    subprocess.run(tool, input=answers[-1].encode(), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    say("The answer is copied.")


_SAYING: dict[str, Callable[[Conversation, str, Say], None]] = {
    "/help": _help,
    "/reset": _reset,
    "/memory": _memory,
    "/pretend": _pretend,
    "/think": _think,
    "/undo": _undo,
    "/system": _system,
    "/set": _set,
    "/stats": _stats,
    "/save": _save,
    "/load": _load,
    "/copy": _copy,
}


def _switch(name: str, argument: str) -> bool:
    if argument.lower() not in ("on", "off"):
        raise UsageError(f"write {name} on or {name} off")
    return argument.lower() == "on"


def _edited(text: str) -> str:
    """`text` as it comes out of the user's editor. Raises UsageError where there is none, or it leaves nothing."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if sys.platform == "win32" else "vi")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message.txt"
        path.write_text(text, encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(path)], check=False)
        except OSError as error:
            raise UsageError(f"{editor} cannot be started ({error.strerror}); set EDITOR") from error
        edited = path.read_text(encoding="utf-8", errors="replace").strip()
    if done.returncode or not edited:
        raise UsageError("nothing was sent")
    return edited


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
