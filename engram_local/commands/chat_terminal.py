"""engram-local chat for people: line editing by prompt_toolkit, colours by rich."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engram_local.commands.chat_commands import COMMANDS, SWITCHES, Quit, View, ask, message_of, obey
from engram_local.commands.chat_plain import run_plain
from engram_local.commands.gate_view import coloured_table, heat
from engram_local.commands.screen import ScreenWriter
from engram_local.commands.timings import Timings
from engram_local.conversation import Conversation, Steps
from engram_local.errors import EngramError
from engram_local.foreign_text import clean
from engram_local.interrupt import interruptible
from engram_local.machine import state_folder

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings


def run_chat(conversation: Conversation, title: str = "", view: View | None = None) -> bool:
    """Chat on the terminal; where stdin or stdout is none, one message a line in and one reply a line out. Returns
    whether no line failed there."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        _Terminal(conversation, title, view).run()
        return True
    return run_plain(conversation, view)


class _Terminal:
    """A conversation on the screen."""

    def __init__(self, conversation: Conversation, title: str, view: View | None = None):
        from prompt_toolkit import PromptSession
        from prompt_toolkit.formatted_text import HTML
        from rich.console import Console

        self.conversation = conversation
        self.title = clean(title)
        self.console = Console(highlight=False, markup=False, emoji=False)
        self.prompt: PromptSession[str] = PromptSession(
            HTML("<ansigreen><b>you </b></ansigreen>"),
            history=_history(),
            key_bindings=_key_bindings(),
            prompt_continuation=lambda width, *_: " " * width,
            completer=_completer(),
            complete_while_typing=False,
            enable_suspend=True,
        )
        self.view = view or View()

    def run(self) -> None:
        self.console.print(self.title, style="bold")
        self.console.print("/help lists the commands, Ctrl-D leaves.", style="dim")
        while True:
            try:
                self.turn(self.prompt.prompt().strip())
            except KeyboardInterrupt:  # of a line that was begun, or between two prompts
                if not self.prompt.default_buffer.text:
                    self.say("Ctrl-D or /quit leaves.")
            except (EOFError, Quit):
                return
            except EngramError as error:
                self.console.print(clean(str(error)), style="red")

    def turn(self, text: str) -> None:
        """Obey or answer one message."""
        if not text:
            return
        if text.startswith("/") and not text.startswith("//"):
            steps = obey(self.conversation, text, self.say, self.view)
        else:
            steps = ask(self.conversation, message_of(text), self.say)
        if steps is None:
            return
        memory, n_replies = self.conversation.memory, self.conversation.n_replies
        self.show(steps, memory)
        if self.conversation.n_replies == n_replies:
            return
        if self.view.gate and memory:
            found = self.conversation.gates()
            in_colour = self.console.color_system and not self.console.no_color
            for line in heat(found) if in_colour else coloured_table(found):
                self.console.print(line)
        if self.view.both:
            self.show(self.conversation.contrast(), not memory)

    def say(self, text: str) -> None:
        """A line of the chat itself."""
        self.console.print(clean(text), style="dim")

    def show(self, steps: Steps, memory: bool = True) -> None:
        """Stream an answer, made with memory or without, then its speed."""
        label, style = ("engram ", "bold cyan") if memory else ("memory off ", "bold yellow")
        self.console.print(label, style=style, end="")
        last, stopped, thinking = None, False, False
        screen = ScreenWriter(self._write, lambda: self.console.width, len(label))
        timings = Timings(self.conversation.model)
        steps = timings.watch(steps)
        with interruptible() as asked_to_stop:
            try:
                for step in steps:
                    last = step
                    if step.thought:
                        self.console.out(clean(step.thought), end="", highlight=False, style="dim")
                        thinking = True
                    if step.text and thinking:
                        self.console.print("\n")
                        thinking = False
                    if self.view.plain:
                        self._write(clean(step.text))
                    else:
                        screen.write(clean(step.text))
                    self.console.file.flush()
                    if asked_to_stop() and step.finish_reason is None:
                        stopped = True
                        break
            except KeyboardInterrupt:
                stopped = True
            finally:
                screen.flush()
                steps.close()
        self.console.print()
        if last is not None:
            note = ", cut: no room or --max-tokens reached" if last.finish_reason == "length" else ""
            speed = timings.line() if self.view.timings else f"{last.n_generated} tokens, {last.decode_tok_s:.0f} tok/s"
            self.console.print(f"{speed}{', stopped' if stopped else note}", style="dim")

    def _write(self, text: str, code: bool = False) -> None:
        self.console.out(text, end="", highlight=False, style="cyan" if code else None)


def _completer() -> "Completer":
    """Commands by their names, and files behind those that take one."""
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document

    files = PathCompleter(expanduser=True)

    class Commands(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
            name, space, behind = document.text_before_cursor.partition(" ")
            if not space and name.startswith("/"):
                yield from (Completion(x, -len(name)) for x in COMMANDS if x.startswith(name.lower()))
            elif name.lower() in ("/save", "/load"):
                yield from files.get_completions(Document(behind), complete_event)
            elif name.lower() in ("/memory", "/think", *SWITCHES):
                yield from (Completion(x, -len(behind)) for x in ("on", "off") if x.startswith(behind))

    return Commands()


def _history() -> "History":
    """Earlier messages, kept in the user's state folder where it can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    folder = state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "history").touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(folder / "history"))


def _key_bindings() -> "KeyBindings":
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings
