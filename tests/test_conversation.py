"""A chat's state without a terminal: what stays of a turn, and what goes when the context is full."""

import json
import os

import pytest

import engram_local
from engram_local.conversation import Conversation, fit
from engram_local.errors import ContextOverflowError, UsageError

FRANCE = "What is the capital of France?"


def message(role, n=1):
    return {"role": role, "content": "x" * n}


def count(messages):
    return sum(len(m["content"]) for m in messages)


def test_fit_keeps_what_fits():
    messages = [message("system"), *(message(r) for r in ("user", "assistant") * 3), message("user")]
    assert fit(messages, count, 100) == messages
    assert fit([], count, 100) == []


def test_fit_drops_the_oldest_turns_until_half_is_free():
    turns = [message(r, 10) for r in ("user", "assistant") * 5]
    kept = fit([message("system", 4), *turns, message("user", 5)], count, 100)
    assert kept == [message("system", 4), *turns[-4:], message("user", 5)]
    assert count(kept) <= 50


def test_fit_keeps_system_messages_and_the_last_turn_however_long():
    long = [message("system", 90), message("user", 90)]
    assert fit([long[0], message("user"), message("assistant"), long[1]], count, 100) == long


def test_fit_never_begins_with_an_answer():
    for n in range(1, 9):
        messages = [message(("user", "assistant")[i % 2], 9) for i in range(n)]
        kept = fit(messages, count, 40)
        assert kept == [] or kept[0]["role"] == "user"


@pytest.fixture
def conversation(pocket):
    return Conversation(pocket)


def say_in(conversation, text):
    return "".join(step.text for step in conversation.reply(text))


def test_an_answer_that_ends_at_once_leaves_no_trace(conversation, monkeypatch):
    """A message without an answer would make templates that want alternating roles refuse all that follows."""
    monkeypatch.setattr(conversation.model, "eos_ids", frozenset(range(conversation.model.n_tokens)))
    assert say_in(conversation, FRANCE) == ""
    assert conversation.messages == []
    monkeypatch.undo()
    assert "Paris" in say_in(conversation, FRANCE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, engram_local.EngramError("the disk"), ZeroDivisionError])
def test_what_fails_in_the_prefill_leaves_no_trace(conversation, monkeypatch, error):
    say_in(conversation, FRANCE)
    before = list(conversation.messages)
    with monkeypatch.context() as patch:
        patch.setattr(conversation.session, "forward", lambda *_: (_ for _ in ()).throw(error))
        for attempt in (lambda: say_in(conversation, "Hello"), lambda: list(conversation.regenerate())):
            with pytest.raises(error if isinstance(error, type) else type(error)):
                attempt()
            assert conversation.messages == before
    assert "Paris" in "".join(step.text for step in conversation.regenerate())


def test_what_fails_in_the_middle_of_an_answer_leaves_no_trace(conversation, monkeypatch):
    steps = conversation.reply(FRANCE)
    next(steps), next(steps)
    with monkeypatch.context() as patch:
        patch.setattr(conversation.session, "forward", lambda *_: (_ for _ in ()).throw(engram_local.EngramError("x")))
        with pytest.raises(engram_local.EngramError):
            list(steps)
    assert conversation.messages == []


def test_what_is_stopped_keeps_what_came(conversation):
    steps = conversation.reply(FRANCE)
    came = next(steps).text + next(steps).text
    steps.close()
    assert [m["content"] for m in conversation.messages] == [FRANCE, came.strip()]
    assert "Paris" in "".join(step.text for step in conversation.regenerate())


def test_a_refused_message_keeps_the_conversation():
    with engram_local.load(context_length=128) as model:
        conversation = Conversation(model, max_tokens=8)
        say_in(conversation, FRANCE)
        before = list(conversation.messages)
        for text in ("word " * 200, "word " * 100_000):
            with pytest.raises(ContextOverflowError):
                say_in(conversation, text)
            assert conversation.messages == before
        assert conversation.session.length > 0


def test_a_long_text_is_refused_before_it_is_tokenized(pocket, monkeypatch):
    monkeypatch.setattr(pocket.tokenizer, "encode", lambda *_: pytest.fail("tokenized"))
    for ask in (lambda: pocket.prompt_ids("x" * 10**6), lambda: pocket.prompt_ids("x" * 10**6, raw=True)):
        with pytest.raises(ContextOverflowError, match="shorten the prompt"):
            ask()
    with pytest.raises(ContextOverflowError):
        Conversation(pocket).reply("x" * 10**6)


def test_thinking_is_switched_where_the_template_can(conversation):
    with pytest.raises(UsageError, match="no switch for thinking"):
        conversation.set_thinking(True)


def test_save_leaves_nothing_half_written(conversation, tmp_path, monkeypatch):
    say_in(conversation, FRANCE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(UsageError, match="No space left"):
            conversation.save(tmp_path / "chat.json")
    assert list(tmp_path.iterdir()) == []
    for name in ("~nobody-of-that-name/x", "a" * 400, "nul\0byte"):
        with pytest.raises(UsageError, match="cannot be written"):
            conversation.save(tmp_path / name if "~" not in name else name)
    conversation.save(tmp_path / "chat.json")
    assert len(json.loads((tmp_path / "chat.json").read_text())["messages"]) == 2
