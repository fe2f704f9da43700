"""Chat: the conversation itself, the plain mode through a pipe, and the terminal through a real pseudo-terminal."""

import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import engram_local
from engram_local.commands.chat_commands import Quit, obey
from engram_local.commands.chat_plain import run_plain
from engram_local.commands.chat_terminal import _Terminal
from engram_local.conversation import Conversation
from engram_local.errors import ContextOverflowError, EngramError, ModelFolderError
from engram_local.foreign_text import clean
from engram_local.interrupt import interruptible

FRANCE, GOLD = "What is the capital of France?", "What is the atomic number of gold?"
CHAT = [sys.executable, "-m", "engram_local.cli", "chat"]


def say_in(conversation, text):
    return "".join(step.text for step in conversation.reply(text))


@pytest.fixture
def conversation(pocket):
    return Conversation(pocket)


def test_turns_of_one_conversation(conversation):
    assert "Paris" in say_in(conversation, FRANCE)
    assert "79" in say_in(conversation, GOLD)
    assert [m["role"] for m in conversation.messages] == ["user", "assistant"] * 2
    assert conversation.last_step.n_reused > 0


def test_memory_is_switched_live(conversation):
    assert "Paris" in say_in(conversation, FRANCE)
    conversation.set_memory(False)
    assert not conversation.session.memory
    assert len(conversation.messages) == 2
    assert "Paris" not in "".join(step.text for step in conversation.regenerate())
    conversation.set_memory(True)
    assert "Paris" in "".join(step.text for step in conversation.regenerate())
    assert len(conversation.messages) == 2


def test_a_model_without_a_template_cannot_chat(tiny):
    with pytest.raises(ModelFolderError, match="has no chat template"):
        Conversation(tiny)


def test_regenerate_and_reset(conversation):
    with pytest.raises(EngramError, match="no message to answer"):
        list(conversation.regenerate())
    first = say_in(conversation, FRANCE)
    assert "".join(step.text for step in conversation.regenerate()) == first
    conversation.reset()
    assert conversation.messages == []
    assert conversation.session.length == 0


def test_a_seeded_chat_repeats_and_regenerates_another_answer(pocket):
    def run():
        chat = Conversation(pocket, temperature=9.0, seed=1, max_tokens=12)
        return [say_in(chat, FRANCE), *("".join(s.text for s in chat.regenerate()) for _ in range(4))]

    assert run() == run()
    assert len(set(run())) > 1


def test_a_full_context_drops_the_oldest_turns():
    with engram_local.load(context_length=512) as model:
        model.tokenizer.max_length = None
        fill_the_context(Conversation(model, max_tokens=8), 512)


def test_a_chat_stays_as_short_as_the_model_was_trained_to_follow():
    with engram_local.load(context_length=512) as model:
        model.tokenizer.max_length = 256
        fill_the_context(Conversation(model, max_tokens=8), 256)


def fill_the_context(conversation, limit):
    dropped = 0
    for i in range(40):
        message = f"{FRANCE} number {i} " + "and so on " * 5
        say_in(conversation, message)
        dropped_now = conversation.n_dropped
        dropped += dropped_now
        assert conversation.session.length + 1 <= limit
        if dropped_now:
            assert conversation.last_step.n_prompt <= limit // 2
    assert dropped > 0
    assert conversation.messages[0]["role"] == "user"
    assert "number 39" in conversation.messages[-2]["content"]


def test_a_message_longer_than_the_context_is_refused_alone(conversation):
    say_in(conversation, FRANCE)
    with pytest.raises(ContextOverflowError, match="this message takes"):
        say_in(conversation, "and so on " * 9999)
    assert len(conversation.messages) == 2
    assert "79" in say_in(conversation, GOLD)


def test_commands(conversation, tmp_path):
    said = []

    def command(line):
        said.clear()
        return obey(conversation, line, said.append)

    say_in(conversation, FRANCE)
    command("/help")
    assert all(name in said[0] for name in ("/memory", "/reset", "/stats", "/save", "/quit", "/regenerate"))
    command("/memory")
    assert said == ["Memory is on."]
    command("/memory off")
    assert said == ["Memory is off."]
    command("/memory on")
    assert "Paris" in "".join(step.text for step in command("/regenerate"))
    command("/stats")
    assert all(text in said[0] for text in ("tok/s", "µs a token", " rows, "))
    command(f"/save {tmp_path / 'chat.json'}")
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert [m["content"] for m in saved["messages"]] == [m["content"] for m in conversation.messages]
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(EngramError, match="exists"):
        command(f"/save {tmp_path / 'chat.json'}")
    with pytest.raises(EngramError, match="cannot be written"):
        command(f"/save {tmp_path / 'none' / 'chat.json'}")
    for line, message in (("/memory maybe", "/memory on or"), ("/save", "/save FILE"), ("/nothing", "no command")):
        with pytest.raises(EngramError, match=message):
            command(line)
    command("/reset")
    assert conversation.messages == []
    with pytest.raises(Quit):
        command("/quit")


def test_plain_mode_in_process(conversation, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{FRANCE}\n\n/memory off\n  {GOLD}\n/quit\n{FRANCE}\n"))
    run_plain(conversation)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2
    assert "Paris" in lines[0] and "79" not in lines[1]
    assert err == "Memory is off.\n"


def test_plain_mode_shows_what_was_switched_on(conversation, monkeypatch, capsys):
    lines = [
        "/both on",
        FRANCE,
        "/both off",
        "/gate on",
        "/timings on",
        FRANCE,
        "/pretend France = Japan",
        "/regenerate",
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert run_plain(conversation)
    out, err = capsys.readouterr()
    on, off, again, borrowed = out.splitlines()
    assert on == "memory on: The capital of France is Paris." and off.startswith("memory off: The capital of France is")
    assert again == "The capital of France is Paris." and borrowed == "The capital of France is Tokyo."
    assert len(re.findall(r"prompt .*, first token after .* rows, no cache\n", err)) == 2
    assert re.search(r"\nFrance  +0\.\d\d +0\.\d\d  .*The capital of France\n", err)
    assert re.search(r"\nFrance  +0\.\d\d +0\.\d\d  .*The capital of Japan\n", err)


def test_both_through_a_pipe():
    done = subprocess.run([*CHAT, "--both"], input=FRANCE, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("memory on: The capital of France is Paris.\nmemory off: The capital of France is ")


def test_plain_mode_through_a_pipe():
    done = subprocess.run(CHAT, input=f"{FRANCE}\n{GOLD}", capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", 2)
    assert "Paris" in lines[0] and "79" in lines[1]


def test_no_input_is_a_clean_end():
    done = subprocess.run(CHAT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_first_interrupt_asks_and_the_second_insists():
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_stops_the_answer_and_keeps_what_came(conversation):
    def interrupted(steps):
        for i, step in enumerate(steps):
            if i == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield step

    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        terminal = _Terminal(conversation, "")
        terminal.console.file = io.StringIO()
        terminal.show(interrupted(conversation.reply(FRANCE)))
        assert "stopped" in terminal.console.file.getvalue()
        assert conversation.last_step.n_generated == 4
        assert "Paris" not in conversation.messages[-1]["content"]
        terminal.show(conversation.regenerate())
        assert "Paris" in terminal.console.file.getvalue()


def test_control_characters_of_a_model_do_not_reach_the_terminal():
    assert clean("a\x1b[2Jb\x07\x9b1m\tc\nd\x7fé") == "a[2Jb1m\tc\ndé"


class Terminal:
    """engram-local chat in a pseudo-terminal."""

    def __init__(self, *options, columns=100, colours=False, before=()):
        import fcntl
        import pty
        import struct
        import termios

        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color" if colours else "xterm"} | ({} if colours else {"NO_COLOR": "1"})
        self.process = subprocess.Popen(
            [*before, *CHAT, *options],
            stdin=side,
            stdout=side,
            stderr=side,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(side)
        self.seen = ""

    def write(self, text):
        os.write(self.main, text.encode())

    def expect(self, text, timeout=40):
        """Read on until `text` is there; returns what came up to its end."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            ready, _, _ = select.select([self.main], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {text!r} within {timeout} s in {self.seen!r}"
            try:
                data = os.read(self.main, 65536)
            except OSError:
                data = b""
            assert data, f"no {text!r} before the end in {self.seen!r}"
            self.seen += data.decode(errors="replace")
            if "\x1b[6n" in self.seen:  # prompt_toolkit asks where the cursor is
                self.seen = self.seen.replace("\x1b[6n", "")
                self.write("\x1b[1;1R")
        end = self.seen.index(text) + len(text)
        came, self.seen = self.seen[:end], self.seen[end:]
        return came


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_terminal():
    terminal = Terminal("--max-tokens", "400")
    try:
        terminal.expect("/help lists")
        terminal.expect("you ")
        terminal.write(FRANCE + "\r")
        terminal.expect("Paris")
        terminal.expect("tok/s")
        terminal.write("\x1b[A\r")  # Up: the last message again
        terminal.expect("Paris")
        terminal.expect("tok/s")
        terminal.write("/memory off\r")
        terminal.expect("Memory is off.")
        terminal.write("/nonsense\r")
        terminal.expect("is no command")
        terminal.expect("you ")
        terminal.write("half a mess\x03")  # Ctrl-C at the prompt drops the line, not the program
        terminal.expect("you ")
        terminal.write("/memory on\r")
        terminal.expect("Memory is on.")
        terminal.expect("you ")
        terminal.write("\x04")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.process.kill()
        os.close(terminal.main)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", [40, 100])
def test_answers_fit_the_screen(columns):
    terminal = Terminal(columns=columns)
    try:
        terminal.expect("you ")
        terminal.write("\x03")  # Ctrl-C at an empty prompt says how to leave
        terminal.expect("Ctrl-D or /quit leaves.")
        terminal.write("What does serendipity mean?\r")
        terminal.expect("engram ")
        seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.expect("tok/s"))
        lines = ("engram " + seen).replace("\r", "").split("\n")[:-1]
        assert all(len(x.rstrip()) <= columns for x in lines), lines
        meaning = "good luck in making unexpected and fortunate discoveries."
        assert " ".join(" ".join(lines).split()) == f"engram The word serendipity means {meaning}"
        assert len(lines) == (3 if columns == 40 else 1)
        terminal.write("/SET temperature 0.3\r")
        terminal.expect("temperature is 0.3")
        terminal.write("/undo\r")
        terminal.expect("taken back")
        terminal.expect("you ")
        terminal.write("/qu\t")  # Tab completes
        terminal.expect("it")
        terminal.write("\r")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.process.kill()
        os.close(terminal.main)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("colours", [False, True])
def test_gates_both_and_timings_on_the_screen(colours):
    terminal = Terminal("--both", "--timings", colours=colours)
    try:
        terminal.expect("you")
        terminal.write("/gate on\r")
        terminal.expect("Gates are shown.")
        terminal.write(FRANCE + "\r")
        terminal.expect("Paris")
        terminal.expect(" rows, no cache")
        shown = terminal.expect("memory off ")
        if colours:
            assert "\x1b[30;48;5;208m capital" in shown and re.search(r"widest: [01]\.\d", shown)
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            assert "layer 1  The capital of France is Paris." in text and "layer 2  The capital" in text
        else:
            assert re.search(r"token +layer 1  layer 2  n-gram", shown) and "<|bot|>The capital of France" in shown
        terminal.expect(" rows, no cache")
        terminal.expect("you")
        terminal.write("/pretend France = Japan\r")
        terminal.expect("France is read as Japan.")
        terminal.write("/regenerate\r")
        terminal.expect("Tokyo")
        terminal.expect("memory off ")
        terminal.expect(" rows, no cache")
        terminal.write("/quit\r")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.process.kill()
        os.close(terminal.main)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")
def test_several_lines_and_suspending():
    terminal = Terminal(before=["bash", "-c", 'set -m; "$@"; echo "suspended: $?"; fg', "-"])
    try:
        terminal.expect("you ")
        terminal.write("What is the capital\x1b\r")  # Alt-Enter sends nothing
        terminal.write("of France?\r")
        assert "engram " not in terminal.expect("    of France?")
        terminal.expect("tok/s")
        terminal.expect("you ")
        terminal.write("\x1a")
        terminal.expect(f"suspended: {128 + signal.SIGTSTP}")
        terminal.expect("you ")
        terminal.write("What is the capital of Japan?\r")
        terminal.expect("Tokyo")
        terminal.write("/bye\r")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.process.kill()
        os.close(terminal.main)
