"""Thoughts are parted from answers wherever the stream is cut."""

from engram_local.chat_template import ChatTemplate
from engram_local.conversation import Conversation
from engram_local.thinking import ThoughtFilter, opens_with_thought

TEXT = "<think>\nFrance. So Paris?\n</think>\n\nParis < London, <b>bold</b>."


def part(pieces, inside=False):
    thoughts = ThoughtFilter(inside)
    said, thought = "", ""
    for a, b in [*(thoughts.step(x) for x in pieces), thoughts.flush()]:
        said, thought = said + a, thought + b
    return said, thought


def test_however_it_is_cut():
    expected = ("Paris < London, <b>bold</b>.", "France. So Paris?\n")
    for n in range(1, len(TEXT) + 1):
        assert part([TEXT[i : i + n] for i in range(0, len(TEXT), n)]) == expected


def test_a_thought_that_the_prompt_began():
    inside = TEXT.removeprefix("<think>\n")
    for n in (1, 3, 50):
        assert part([inside[i : i + n] for i in range(0, len(inside), n)], inside=True)[1] == "France. So Paris?\n"


def test_text_without_thoughts_is_as_it_was():
    for text in (" leading", "a <thing> b", "<", "ends with <thi"):
        assert part(list(text)) == (text, "")


def test_an_unfinished_thought_is_no_answer():
    assert part(["<think>hm"]) == ("", "hm")


def test_the_prompt_tells_whether_a_thought_is_open(pocket):
    encode = pocket.tokenizer.encode
    assert opens_with_thought(pocket.tokenizer, encode("x <think>\n"))
    assert not opens_with_thought(pocket.tokenizer, encode("x <think></think>"))


KNOWS = (
    "{% for m in messages %}<|{{ 'user' if m.role == 'user' else 'bot' }}|>{{ m.content }}"
    "{% if keep and m.reasoning_content %}[{{ m.reasoning_content }}]{% endif %}{% endfor %}"
    "<|bot|>{% if enable_thinking %}<think>{% endif %}"
)


def test_a_chat_keeps_thoughts_apart(pocket, monkeypatch):
    """The template says what becomes of them: here a variable of it."""
    monkeypatch.setattr(pocket.tokenizer, "template", ChatTemplate(KNOWS, {}))
    chat = Conversation(pocket, variables={"keep": False}, max_tokens=8)
    chat.set_thinking(True)
    assert chat.variables["enable_thinking"] is True
    steps = list(chat.reply("What is the capital of France?"))
    assert "".join(x.text for x in steps) == "" and "".join(x.thought for x in steps)
    assert chat.messages == [], "a thought alone is no answer"
    chat.set_thinking(False)
    list(chat.reply("What is the capital of France?"))
    assert "reasoning_content" not in chat.messages[-1]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "why"}]
    assert "why" not in pocket.tokenizer.decode(pocket.tokenizer.encode_chat(messages, keep=False))
    assert "why" in pocket.tokenizer.decode(pocket.tokenizer.encode_chat(messages, keep=True))
