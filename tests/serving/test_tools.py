"""Calls of tools, as templates of models in use write them; and thoughts."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import openai
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from server_process import openai_client

from engram_local.chat_template import ChatTemplate
from engram_local.model_folder import POCKET
from engram_local.serving.answers import CallFilter
from engram_local.serving.grammar import Grammars
from engram_local.serving.tagged_calls import value_of
from engram_local.serving.tool_calls import JsonForm, call_form, knows_tools

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
OTHER = (
    "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}"
    "{% for m in messages %}{% for c in m.tool_calls or [] %}<function={{ c.function.name }}>"
    "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}</function>{% endfor %}"
    "{{ m.content }}{% endfor %}"
)
TAGS = (  # tags around calls: in front of each, its name, arguments in, an argument, arguments out, behind each
    "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'assistant' %}<|bot|><think>{{ m.reasoning_content }}</think>"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{% set c = c.function %}CALL{% endfor %}<|end|>"
    "{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bot|>{% endif %}"
)
VALUE = "{{ v if v is string else v | tojson }}"
QWEN = TAGS.replace(
    "CALL",
    "{{ '\\n' }}<tool_call>{{ '\\n' }}<function={{ c.name }}>{{ '\\n' }}{% for k, v in c.arguments.items() %}"
    "<parameter={{ k }}>{{ '\\n' }}VALUE{{ '\\n' }}</parameter>{{ '\\n' }}{% endfor %}"
    "</function>{{ '\\n' }}</tool_call>",
).replace("VALUE", VALUE)
GLM = TAGS.replace(
    "CALL",
    "{{ '\\n' }}<tool_call>{{ c.name }}{{ '\\n' }}{% for k, v in c.arguments.items() %}"
    "<arg_key>{{ k }}</arg_key>{{ '\\n' }}<arg_value>VALUE</arg_value>{{ '\\n' }}{% endfor %}</tool_call>",
).replace("VALUE", VALUE)
MINIMAX = TAGS.replace(
    "{% for c in m.tool_calls or [] %}{% set c = c.function %}CALL{% endfor %}",
    "{% if m.tool_calls %}{{ '\\n' }}<minimax:tool_call>{{ '\\n' }}{% for c in m.tool_calls %}{% set c = c.function %}"
    """<invoke name="{{ c.name }}">{{ '\\n' }}{% for k, v in c.arguments.items() %}<parameter name="{{ k }}">VALUE"""
    "</parameter>{{ '\\n' }}{% endfor %}</invoke>{{ '\\n' }}{% endfor %}</minimax:tool_call>{% endif %}",
).replace("VALUE", VALUE)
CONTROLS = ["<|bot|>", "<|user|>", "<|end|>", "<|assistant|>", "</s>", "[TOOL_CALLS]"]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"enum": ["Paris", "Rome"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (HERMES, JsonForm("<tool_call>", "</tool_call>", "arguments", False)),
        (LLAMA, JsonForm("", "", "parameters", False)),
        (MISTRAL, JsonForm("", "", "arguments", True)),
        (OTHER, None),
    ],
    ids=["hermes", "llama", "mistral", "other"],
)
def test_how_a_template_writes_a_call(source, form):
    template = ChatTemplate(source, {})
    assert knows_tools(template)
    assert call_form(template, CONTROLS) == form


def test_a_template_without_tools():
    assert not knows_tools(ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", {}))
    assert not knows_tools(None)


def test_a_thought_in_front_of_a_call_is_none_of_it():
    """Qwen3's template writes an empty one, which reaches nobody as text."""
    source = HERMES.replace("{{ m.content }}{% for c", "<think>\n\n</think>\n\n{{ m.content }}{% for c")
    assert source != HERMES
    assert call_form(ChatTemplate(source, {}), CONTROLS) == call_form(ChatTemplate(HERMES, {}), CONTROLS)


def test_calls_are_read():
    hermes = JsonForm("<tool_call>", "</tool_call>", "arguments", False)
    text = '<tool_call>\n{"name": "f", "arguments": {"a": "é"}}\n</tool_call>\n<tool_call>{"name": "g"}'
    assert hermes.read(text, []) == [("f", '{"a": "é"}'), ("g", "{}")]
    filtering = CallFilter(hermes)
    assert filtering.step(text) == ""
    assert len({x["id"] for x in filtering.end()[1]}) == 2
    listed = '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]'
    assert JsonForm("", "", "arguments", True).read(listed, []) == [("f", "{}"), ("g", "{}")]
    for text in (
        "<tool_call>",
        "<tool_call>{",
        "<tool_call>5</tool_call>",
        '<tool_call>{"name": 5}',
        "<tool_call>" + "[" * 9999,
    ):
        assert hermes.read(text, []) is None, text


FUNCTION = {
    "name": "f",
    "parameters": {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "n": {"type": "integer"},
            "maybe": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "yes": {"type": "boolean"},
            "list": {"$ref": "#/$defs/list"},
            "either": {"enum": ["7", "8"]},
        },
        "required": ["text"],
        "$defs": {"list": {"type": "array"}},
    },
}


@pytest.mark.parametrize("source", [QWEN, GLM, MINIMAX], ids=["qwen", "glm", "minimax"])
def test_calls_of_tags_are_read_as_the_template_writes_them(source):
    """By the schema: what may be text is text, whatever it looks like."""
    template = ChatTemplate(source, {})
    form = call_form(template, CONTROLS)
    given = [
        {"text": '7 <b>\n\n{"a": 1}\n', "n": -3, "maybe": None, "yes": True, "list": [1, {"a": "é"}], "either": "7"},
        {},
        {"unknown": "true", "text": ""},
    ]
    calls = [{"id": str(i), "type": "function", "function": {"name": "f", "arguments": x}} for i, x in enumerate(given)]
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "So:", "tool_calls": calls}]
    whole = template.render(messages, add_generation_prompt=False, tools=[])
    said = whole.rpartition("</think>")[2].removesuffix("<|end|>")
    for pieces in (list(said), [said]):
        filtering = CallFilter(form, [FUNCTION])
        shown = "".join(filtering.step(x) for x in pieces)
        rest, found = filtering.end()
        assert (shown.strip(), rest) == ("So:", "")
        assert [json.loads(x["function"]["arguments"]) for x in found] == given
        assert {x["function"]["name"] for x in found} == {"f"}
    tight = said[said.index(form.opening) :].replace("\n<", "<")
    assert json.loads(form.read(tight, [FUNCTION])[0][1])["n"] == -3  # a model that leaves line feeds out
    ends = said.index(form.close.split()[-1])
    for end in range(said.index("-3"), ends):  # a call that was cut is none
        assert form.read(said[:end], [FUNCTION]) is None, said[:end]


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "\n5 ", 5),
        ({"type": "boolean"}, "True", True),
        ({"type": ["object", "null"]}, "None", None),
        ({"type": "array"}, "['a']", ["a"]),
        ({"type": "integer"}, "five", "five"),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": ["string", "null"]}, "null", "null"),
        ({"const": 3}, "3", 3),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, "3", "3"),
        ({"$ref": "#/no/where"}, "3", "3"),
        ({"type": "object"}, "[" * 99999, "[" * 99999),
        (True, "3", "3"),
    ],
)
def test_values_by_their_schema(schema, text, value):
    found = value_of(text, {"properties": {"a": schema}}, "a")
    assert found == value and type(found) is type(value)


@given(
    st.lists(
        st.sampled_from(["<tool_call>", "<tool", "_call>", "<", "a ", '{"name": "f"}', "</tool_call>"]), max_size=8
    )
)
def test_the_filter_loses_no_text(pieces):
    """Whatever the pieces: the text up to the first call, then the calls; or all of it, where they are none."""
    form = JsonForm("<tool_call>", "</tool_call>", "arguments", False)
    filtering, whole = CallFilter(form), "".join(pieces)
    shown = "".join(filtering.step(x) for x in pieces)
    rest, calls = filtering.end()
    before, found, _ = whole.partition("<tool_call>")
    if calls is None:
        assert shown + rest == whole
    else:
        assert shown == before and rest == "" and calls[0]["function"]["name"] == "f"
    assert shown == before or not found


@pytest.fixture(scope="module", params=[HERMES, QWEN], ids=["hermes", "qwen"])
def client(request, tmp_path_factory):
    """The pocket model with a template that knows tools."""
    with openai_client(tmp_path_factory.mktemp("tools") / "model", request.param, "--name", "tools") as client:
        yield client


def test_a_call_that_is_required(client):
    messages = [{"role": "user", "content": "How is the weather in Paris?"}]
    ask = {"model": "tools", "messages": messages, "tools": [TOOL], "max_tokens": 100}
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        done = client.chat.completions.create(**ask, tool_choice=choice).choices[0]
        (call,) = done.message.tool_calls
        assert (done.finish_reason, done.message.content, call.function.name) == ("tool_calls", None, "weather")
        arguments = json.loads(call.function.arguments)
        assert arguments.keys() == {"place", "days"}
        assert arguments["place"] in ("Paris", "Rome") and arguments["days"] in range(1, 10)
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
        wrong = {"type": "object", "properties": {"a": {"type": "no such type"}}, "required": ["a"]}
        tool = {"type": "function", "function": {"name": "f", "parameters": wrong}}
        client.chat.completions.create(**(ask | {"tools": [tool]}), tool_choice="required")
    for odd in (
        {"properties": 5},
        {"properties": {"a": 5}, "required": 7},
        {"properties": {"a": {"type": {}, "enum": {}}}},
    ):
        tool = {"type": "function", "function": {"name": "f", "parameters": odd}}
        with contextlib.suppress(openai.BadRequestError):
            client.chat.completions.create(**(ask | {"tools": [tool]}), tool_choice="required")


@pytest.mark.parametrize("source", [HERMES, QWEN, GLM, MINIMAX], ids=["hermes", "qwen", "glm", "minimax"])
@pytest.mark.parametrize("added", [[], ["</think>", "<tool_call>", "</tool_call>", "</arg_value>"]])
def test_a_grammar_takes_what_the_template_writes(source, added, tmp_path):
    """And nothing that lacks what is required, or has another type; where tags are tokens of their own, by these."""
    tokenizer = tokenizers.Tokenizer.from_file(str(POCKET / "tokenizer.json"))
    tokenizer.add_tokens([tokenizers.AddedToken(x, special=False, normalized=False) for x in added])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    n_tokens, end = tokenizer.get_vocab_size(), tokenizer.token_to_id("<|end|>")
    model = SimpleNamespace(
        folder=SimpleNamespace(path=tmp_path), n_tokens=n_tokens, eos_ids={end}, tokenizer=tokenizer
    )
    template, grammars = ChatTemplate(source, {}), Grammars(model)
    form = call_form(template, CONTROLS)

    def taken(arguments, thinks):
        grammar = grammars.of_call(form, [FUNCTION, {"name": "g"}], "tools", thinks)
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
        said = template.render(messages, add_generation_prompt=False, tools=[]).rpartition("</think>")[2]
        said = said[said.index(form.opening) :].removesuffix("<|end|>")
        text = f"Let me <think.\n</think>\n\n{said}" if thinks else said
        mask, zeros = grammars.mask(grammar), np.zeros(n_tokens, np.float32)
        for token in tokenizer.encode(text, add_special_tokens=False).ids:
            if not np.isfinite(mask.apply(zeros)[token]):
                return False
            mask.accept(token)
        return list(np.flatnonzero(np.isfinite(mask.apply(zeros)))) == [end]

    for thinks in (False, True):
        assert taken({"text": "a\nb <b>", "n": 3, "yes": True, "list": [1], "either": "8"}, thinks)
        assert taken({"text": "a"}, thinks)
        assert not taken({"n": 3}, thinks)
        assert not taken({"text": "a", "n": "three"}, thinks)
        assert not taken({"text": "a", "either": "9"}, thinks)
