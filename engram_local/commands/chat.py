"""engram-local chat in a terminal, and its plain mode for pipes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engram_local.conversation import Conversation
from engram_local.errors import EngramError
from engram_local.generation import Step
from engram_local.sizes import format_size

HELP = """\
/help              this list
/memory on|off     with or without the Engram tables; the conversation stays
/regenerate        answer the last message again
/reset             forget the conversation
/stats             speed, context and table reads
/save FILE         write the conversation as JSON
/quit              leave (or Ctrl-D)
Ctrl-C stops an answer. Alt-Enter starts a new line, Up finds earlier messages."""

# A model's text must not steer the terminal: no control characters but line feed and tab.
NO_CONTROLS = dict.fromkeys(i for i in (*range(32), *range(127, 160)) if chr(i) not in "\n\t")

Say = Callable[[str], None]


def run_chat(conversation: Conversation, title: str = "") -> None:
    """Chat on the terminal; where stdin or stdout is none, one message a line in and one reply a line out."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        _Terminal(conversation, title).run()
    else:
        run_plain(conversation)


def run_plain(conversation: Conversation) -> None:
    """Each line of stdin is a turn of one conversation; its reply is one line of stdout. Commands answer on stderr.
    Raises EngramError for a message that does not fit."""
    for line in sys.stdin:
        text = line.strip()
        if text.startswith("/"):
            steps = command(conversation, text, _to_stderr)
            if steps is QUIT:
                return
        else:
            steps = _turn(conversation, text, _to_stderr) if text else None
        if steps is not None:
            reply = "".join(step.text for step in steps).translate(NO_CONTROLS)
            print(" ".join(reply.split()), flush=True)


QUIT = object()


def command(conversation: Conversation, text: str, say: Say) -> Iterator[Step] | object | None:
    """Obey a line that begins with "/". Returns an answer to stream (/regenerate), QUIT, or None."""
    name, _, argument = text.partition(" ")
    argument = argument.strip()
    if name in ("/quit", "/exit"):
        return QUIT
    if name == "/regenerate":
        return conversation.regenerate()
    if name == "/help":
        say(HELP)
    elif name == "/reset":
        conversation.reset()
        say("The conversation is forgotten.")
    elif name == "/memory":
        if argument not in ("on", "off", ""):
            raise EngramError("write /memory on or /memory off")
        if argument:
            conversation.set_memory(argument == "on")
        say(f"Memory is {'on' if conversation.memory else 'off'}.")
    elif name == "/stats":
        say(stats_text(conversation))
    elif name == "/save":
        if not argument:
            raise EngramError("write /save FILE")
        conversation.save(argument)
        say(f"Saved to {argument}.")
    else:
        raise EngramError(f"{name} is no command; /help lists them")
    return None


def stats_text(conversation: Conversation) -> str:
    """What /stats shows."""
    session, last = conversation.session, conversation.last
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


def _turn(conversation: Conversation, text: str, say: Say) -> Iterator[Step]:
    dropped = conversation.overflow(text)
    if dropped:
        say(f"The context is full: the {dropped} oldest turn{'s were' if dropped > 1 else ' was'} dropped.")
    return conversation.reply(text)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only makes the yielded function true, so that no step is cut in two; a second one raises
    KeyboardInterrupt."""
    pressed = []

    def note(signum, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


class _Terminal:
    """The chat for people: line editing by prompt_toolkit, colours by rich."""

    def __init__(self, conversation: Conversation, title: str):
        from prompt_toolkit import PromptSession
        from prompt_toolkit.formatted_text import HTML
        from rich.console import Console

        self.conversation = conversation
        self.title = title
        self.console = Console(highlight=False, markup=False, emoji=False)
        self.prompt = PromptSession(
            HTML("<ansigreen><b>you </b></ansigreen>"),
            history=_history(),
            key_bindings=_key_bindings(),
            prompt_continuation=lambda width, *_: " " * width,
        )

    def run(self) -> None:
        self.console.print(self.title, style="bold")
        self.console.print("/help lists the commands, Ctrl-D leaves.", style="dim")
        while True:
            try:
                if not self.turn(self.prompt.prompt().strip()):
                    return
            except KeyboardInterrupt:  # of a line that was begun, or between two prompts
                continue
            except EOFError:
                return
            except EngramError as error:
                self.console.print(str(error), style="red")

    def turn(self, text: str) -> bool:
        """Obey or answer one message; False ends the chat."""
        if not text:
            return True
        if text.startswith("/"):
            steps = command(self.conversation, text, self.say)
        else:
            steps = _turn(self.conversation, text, self.say)
        if steps is not None and steps is not QUIT:
            self.show(steps)
        return steps is not QUIT

    def say(self, text: str) -> None:
        self.console.print(text, style="dim")

    def show(self, steps: Iterator[Step]) -> None:
        """Stream an answer, then its speed."""
        memory = self.conversation.memory
        label, style = ("engram ", "bold cyan") if memory else ("memory off ", "bold yellow")
        self.console.print(label, style=style, end="")
        last, stopped = None, False
        with interruptible() as asked_to_stop:
            try:
                for step in steps:
                    last = step
                    self.console.out(step.text.translate(NO_CONTROLS), end="", highlight=False)
                    self.console.file.flush()
                    if asked_to_stop() and step.finish_reason is None:
                        stopped = True
                        break
            except KeyboardInterrupt:
                stopped = True
            finally:
                steps.close()
        self.console.print()
        if last is not None:
            note = {"length": ", cut: no room or --max-tokens reached"}.get(last.finish_reason, "")
            self.console.print(
                f"{last.n_generated} tokens, {last.decode_tok_s:.0f} tok/s{', stopped' if stopped else note}",
                style="dim",
            )


def _history():
    """Earlier messages, kept in the user's state folder where it can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    base = os.environ.get("XDG_STATE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    folder = (Path(base) if base else Path.home() / ".local" / "state") / "engram_local"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "history").touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(folder / "history"))


def _key_bindings():
    from prompt_toolkit.key_binding import KeyBindings

    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _(event):
        event.current_buffer.insert_text("\n")

    return bindings
