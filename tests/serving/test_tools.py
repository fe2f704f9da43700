"""Calls of tools, as templates of models in use write them; and thoughts."""

import json

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_process import openai_client

from engram_local.chat_template import ChatTemplate
from engram_local.serving.answers import CallFilter
from engram_local.serving.tool_calls import CallForm, call_form, knows_tools

HERMES = (
    "{% if tools %}<|system|># Tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}<|bot|>{{ m.content }}{% for c in m.tool_calls or [] %}"
    '\n<tool_call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</tool_call>'
    "{% endfor %}<|end|>{% else %}<|user|>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bot|>{% endif %}"
)
LLAMA = (
    "{% for t in tools or [] %}{{ t | tojson(indent=4) }}{% endfor %}"
    "{% for m in messages %}{% if m.tool_calls %}<|bot|>"
    """{{ '{"name": "' + m.tool_calls[0].function.name + '", ' }}{{ '"parameters": ' }}"""
    """{{ m.tool_calls[0].function.arguments | tojson }}{{ "}" }}<|end|>"""
    "{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bot|>{% endif %}"
)
MISTRAL = (
    "{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "{% for m in messages %}{% if m.tool_calls %}[TOOL_CALLS][{% for c in m.tool_calls %}"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}, "id": "{{ c.id }}"}'
    "{% if not loop.last %}, {% endif %}{% endfor %}]</s>{% else %}[INST]{{ m.content }}[/INST]{% endif %}{% endfor %}"
)
XML = (
    "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"
    "{% for m in messages %}{% for c in m.tool_calls or [] %}<function={{ c.function.name }}>"
    "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}</function>{% endfor %}"
    "{{ m.content }}{% endfor %}"
)
CONTROLS = ["<|bot|>", "<|user|>", "<|end|>", "<|assistant|>", "</s>", "[TOOL_CALLS]"]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"enum": ["Paris", "Rome"]}},
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (HERMES, CallForm("<tool_call>", "</tool_call>", "arguments", False)),
        (LLAMA, CallForm("", "", "parameters", False)),
        (MISTRAL, CallForm("", "", "arguments", True)),
        (XML, None),
    ],
    ids=["hermes", "llama", "mistral", "xml"],
)
def test_how_a_template_writes_a_call(source, form):
    template = ChatTemplate(source, {})
    assert knows_tools(template)
    assert call_form(template, CONTROLS) == form


def test_a_template_without_tools():
    assert not knows_tools(ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", {}))
    assert not knows_tools(None)


def test_calls_are_read():
    hermes = CallForm("<tool_call>", "</tool_call>", "arguments", False)
    calls = hermes.read('<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>\n<tool_call>{"name": "g"}')
    assert [x["function"] for x in calls] == [
        {"name": "f", "arguments": '{"a": "é"}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert len({x["id"] for x in calls}) == 2
    listed = CallForm("", "", "arguments", True).read(
        '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]'
    )
    assert [x["function"]["name"] for x in listed] == ["f", "g"]
    for text in (
        "<tool_call>",
        "<tool_call>{",
        "<tool_call>5</tool_call>",
        '<tool_call>{"name": 5}',
        "<tool_call>" + "[" * 9999,
    ):
        assert hermes.read(text) is None, text


@given(
    st.lists(
        st.sampled_from(["<tool_call>", "<tool", "_call>", "<", "a ", '{"name": "f"}', "</tool_call>"]), max_size=8
    )
)
def test_the_filter_loses_no_text(pieces):
    """Whatever the pieces: the text up to the first call, then the calls; or all of it, where they are none."""
    form = CallForm("<tool_call>", "</tool_call>", "arguments", False)
    filtering, whole = CallFilter(form), "".join(pieces)
    shown = "".join(filtering.step(x) for x in pieces)
    rest, calls = filtering.end()
    before, found, _ = whole.partition("<tool_call>")
    if calls is None:
        assert shown + rest == whole
    else:
        assert shown == before and rest == "" and calls[0]["function"]["name"] == "f"
    assert shown == before or not found


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The pocket model with Hermes' template."""
    with openai_client(tmp_path_factory.mktemp("tools") / "model", HERMES, "--name", "tools") as client:
        yield client


def test_a_call_that_is_required(client):
    messages = [{"role": "user", "content": "How is the weather in Paris?"}]
    ask = {"model": "tools", "messages": messages, "tools": [TOOL], "max_tokens": 100}
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        done = client.chat.completions.create(**ask, tool_choice=choice).choices[0]
        (call,) = done.message.tool_calls
        assert (done.finish_reason, done.message.content, call.function.name) == ("tool_calls", None, "weather")
        assert json.loads(call.function.arguments)["place"] in ("Paris", "Rome")
    chunks = list(client.chat.completions.create(**ask, tool_choice="required", stream=True))
    (delta,) = [x.choices[0].delta.tool_calls for x in chunks if x.choices[0].delta.tool_calls]
    assert delta[0].index == 0 and delta[0].function.name == "weather"
    assert not any(x.choices[0].delta.content for x in chunks)
    assert [x.choices[0].finish_reason for x in chunks][-1] == "tool_calls"
    said = done.message.model_dump(exclude_none=True) | {"content": ""}
    result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny.<|end|>"}
    again = client.chat.completions.create(**(ask | {"messages": [*messages, said, result]}))
    assert again.choices[0].finish_reason in ("stop", "length")


def test_tools_that_are_not_called(client):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    ask = {"model": "tools", "messages": messages, "tools": [TOOL], "max_tokens": 20}
    for choice in ("auto", "none"):
        done = client.chat.completions.create(**ask, tool_choice=choice).choices[0]
        assert done.message.tool_calls is None and done.message.content
    with pytest.raises(openai.BadRequestError, match="there is no tool 'other'"):
        client.chat.completions.create(**ask, tool_choice={"type": "function", "function": {"name": "other"}})
    with pytest.raises(openai.BadRequestError, match="Invalid type"):
        wrong = {"type": "function", "function": {"name": "f", "parameters": {"type": "no such type"}}}
        client.chat.completions.create(**(ask | {"tools": [wrong]}), tool_choice="required")
