"""What /commands do to a conversation, in pipes and on a terminal."""

import json
import os
import stat

import pytest

from engram_local.commands.chat_commands import (
    ALIASES,
    COMMANDS,
    HELP,
    SWITCHES,
    Quit,
    View,
    command_of,
    message_of,
    obey,
)
from engram_local.conversation import Conversation
from engram_local.errors import UsageError

FRANCE, GOLD = "What is the capital of France?", "What is the atomic number of gold?"


@pytest.fixture
def conversation(pocket):
    return Conversation(pocket)


@pytest.fixture
def command(conversation):
    def run(line):
        said = []
        steps = obey(conversation, line, said.append)
        return "".join(x.text for x in steps) if steps else "\n".join(said)

    return run


def ask(conversation, text):
    return "".join(x.text for x in conversation.reply(text))


def test_every_command_is_listed_and_known():
    assert all(f"{name} " in HELP for name in COMMANDS)
    assert command_of("/HELP") == "/help" and command_of("/Memory Off") == "/memory" and command_of("/exit") == "/quit"
    assert command_of("/etc/passwd") is None and command_of("//help") is None and command_of("help") is None
    assert message_of("//help me") == "/help me" and message_of("a//b") == "a//b"


@pytest.mark.parametrize(("typed", "meant"), ALIASES.items())
def test_commands_by_the_names_that_other_tools_have(typed, meant):
    assert command_of(typed) == command_of(typed.upper()) == meant and meant in COMMANDS


def test_commands_in_any_case(conversation, command):
    assert command("/MEMORY OFF") == "Memory is off."
    with pytest.raises(Quit):
        command("/Quit")
    with pytest.raises(UsageError, match="is no command; /help lists them"):
        command("/nonsense")


def test_undo(conversation, command):
    ask(conversation, FRANCE)
    before = list(conversation.messages)
    ask(conversation, GOLD)
    assert "taken back" in command("/undo")
    assert conversation.messages == before
    command("/undo")
    assert conversation.messages == []
    with pytest.raises(UsageError, match="no message"):
        command("/undo")


def test_set(conversation, command):
    command("/set temperature 0.3")
    command("/set top-k 5")
    command("/set max_tokens 3")
    command("/set stop Paris")
    assert conversation.options() | {"seed": None} == {
        "temperature": 0.3,
        "top_k": 5,
        "top_p": 1.0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "seed": None,
        "max_tokens": 3,
        "stop": ("Paris",),
    }
    assert "temperature is 0.3" in command("/set") and command("/set top_k 6") == "top_k is 6"
    for line, complaint in (
        ("/set temperature hot", "'hot' is not a number"),
        ("/set temperature -1", "temperature is -1"),
        ("/set colour 1", "there is no setting colour; set temperature, "),
        ("/set max_tokens 0", "max_tokens is 0"),
    ):
        with pytest.raises(UsageError, match=complaint):
            command(line)
    command("/set temperature 0")
    command("/set stop")
    assert len(ask(conversation, FRANCE).split()) <= 3


def test_system(conversation, command):
    ask(conversation, FRANCE)
    assert "has no system message" in command("/system Be short.")
    assert conversation.messages[0] == {"role": "system", "content": "Be short."}
    command("/reset")
    assert conversation.messages == [{"role": "system", "content": "Be short."}]
    command("/system")
    assert conversation.messages == []


def test_save_and_load(conversation, command, pocket, tmp_path):
    ask(conversation, FRANCE)
    command(f"/save {tmp_path / 'chat.json'}")
    other = Conversation(pocket)
    other.load(tmp_path / "chat.json")
    assert other.messages == conversation.messages
    assert "79" in ask(other, GOLD)
    for text in ("[]", "{}", '{"messages": [1]}', '{"messages": [{"role": "user"}]}', "{"):
        (tmp_path / "bad.json").write_text(text)
        before = list(conversation.messages)
        with pytest.raises(UsageError, match=r"bad\.json"):
            command(f"/load {tmp_path / 'bad.json'}")
        assert conversation.messages == before
    with pytest.raises(UsageError, match="no such file"):
        command(f"/load {tmp_path / 'none'}")


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


@pytest.mark.skipif(os.name == "nt", reason="needs a shell script")
def test_edit(conversation, command, tmp_path, monkeypatch):
    ask(conversation, FRANCE)
    monkeypatch.setenv("VISUAL", str(script(tmp_path / "editor", 'sed -i s/France/Japan/ "$1"')))
    assert "Tokyo" in command("/edit")
    assert conversation.messages[0]["content"] == FRANCE.replace("France", "Japan")
    before = list(conversation.messages)
    for broken in ("exit 1", ': > "$1"'):
        monkeypatch.setenv("VISUAL", str(script(tmp_path / "broken", broken)))
        with pytest.raises(UsageError, match="nothing was sent"):
            command("/edit")
        assert conversation.messages == before
    monkeypatch.setenv("VISUAL", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="set EDITOR"):
        command("/edit")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell script")
def test_copy(conversation, command, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no answer to copy"):
        command("/copy")
    ask(conversation, FRANCE)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="no clipboard is there"):
        command("/copy")
    script(tmp_path / "wl-copy", f"/bin/cat > {tmp_path / 'clipboard'}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("/copy") == "The answer is copied."
    assert "Paris" in (tmp_path / "clipboard").read_text()


def test_the_models_own_longest_answer_counts(pocket):
    own = json.loads((pocket.folder.path / "generation_config.json").read_text())["max_new_tokens"]
    assert Conversation(pocket).max_tokens == own
    assert Conversation(pocket, max_tokens=5).max_tokens == 5


def test_a_full_context_names_its_limit(conversation):
    from engram_local.commands.chat_commands import ask as ask_saying

    said = []
    for i in range(12):
        list(ask_saying(conversation, f"{FRANCE} number {i}", said.append))
    assert said[0].startswith("The context is full (160 tokens, the model's own limit): the ")


def test_pretend(conversation, command):
    assert command("/pretend") == "Every name is read as itself."
    assert command("/pretend France = Japan") == "France is read as Japan."
    assert conversation.session.length == 0  # what was evaluated with the other rows is gone
    assert "Tokyo" in ask(conversation, FRANCE)
    assert command("/pretend Germany=Spain") == "France is read as Japan.\nGermany is read as Spain."
    for line, complaint in (
        ("/pretend France = Burkina Faso", "France has 1 tokens and Burkina Faso 3"),
        ("/pretend France", "write /pretend France = Japan"),
        ("/pretend = Japan", "write /pretend France = Japan"),
    ):
        with pytest.raises(UsageError, match=complaint):
            command(line)
    assert conversation.pretended == {"France": "Japan", "Germany": "Spain"}
    command("/memory off")
    assert "Memory is off, so nothing is read" in command("/pretend")
    command("/memory on")
    assert command("/pretend OFF") == "Every name is read as itself."
    assert "Paris" in command("/regenerate")


def test_pretend_follows_a_conversation(conversation, command):
    assert "Paris" in ask(conversation, FRANCE)
    command("/pretend France = Japan")
    assert "Tokyo" in command("/regenerate")
    command("/reset")
    assert "Tokyo" in ask(conversation, FRANCE)


def test_gates_of_the_latest_answer(conversation, command):
    with pytest.raises(UsageError, match="no answer whose gates"):
        conversation.gates()
    answer = ask(conversation, FRANCE)
    before = conversation.session.length
    found = conversation.gates()
    assert "".join(x.text for x in found) == answer and {*found[0].gates} == {1, 2}
    assert conversation.session.length == before
    twin = ask(conversation, GOLD)
    assert "79" in twin and "".join(x.text for x in conversation.gates()) == twin
    command("/memory off")
    with pytest.raises(UsageError, match="no answer whose gates"):
        conversation.gates()
    ask(conversation, FRANCE)
    assert conversation.gates() == []


def test_the_contrast_is_no_part_of_the_conversation(conversation, command):
    with pytest.raises(UsageError, match="no message"):
        list(conversation.contrast())
    ask(conversation, FRANCE)
    before, last = list(conversation.messages), conversation.last_step
    off = "".join(x.text for x in conversation.contrast())
    assert off.startswith("The capital of France is") and "Paris" not in off
    assert (conversation.messages, conversation.last_step) == (before, last)
    assert "79" in ask(conversation, GOLD)
    command("/memory off")
    ask(conversation, FRANCE)
    assert "Paris" in "".join(x.text for x in conversation.contrast())


def test_switches_of_what_is_shown(conversation):
    view, said = View(), []
    for name, (field, on, off) in SWITCHES.items():
        obey(conversation, f"{name} on", said.append, view)
        assert getattr(view, field) and said.pop() == on
        obey(conversation, f"{name} OFF", said.append, view)
        assert not getattr(view, field) and said.pop() == off
        with pytest.raises(UsageError, match=f"write {name} on or {name} off"):
            obey(conversation, name, said.append, view)
