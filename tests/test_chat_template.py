"""Chat templates: what they render, and what they may not cost."""

import pytest

from engram_local import chat_template
from engram_local.chat_template import ChatTemplate
from engram_local.errors import ModelFolderError

USER = [{"role": "user", "content": "Hi"}]
SYSTEM = [{"role": "system", "content": "Be short."}, *USER]
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}"
)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 10**10 }}",
        "{{ 10**9 * 'a' }}",
        "{{ [1] * 10**10 }}",
        "{{ 10**10**10 }}",
        "{{ 7 ** 99999 }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' % (10000000000, 1) }}",
        "{{ '%10000000000d'|format(1) }}",
        "{{ '{:10000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10000000000) }}",
        "{{ 'a'.ljust(10000000000) }}",
        "{{ 'a'|center(10000000000) }}",
        "{{ (1).to_bytes(10000000000, 'big') }}",
        "{{ 'a'|indent(10000000000) }}",
        "{{ [1]|tojson(indent=10000000000) }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
        "{{ ('a' * 1000000)|replace('a', 'b' * 1000000) }}",
        "{{ ('b' * 1000000).join(['x'] * 1000000) }}",
        "{{ (['x'] * 1000000)|join('b' * 1000000) }}",
        "{{ (['x'] * 1000000)|map('string')|join('b' * 1000000) }}",
        "{% set ns = namespace(x='a' * 999) %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='a' * 999) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% for i in range(99999) %}" + "x" * 10_000 + "{% endfor %}",
        "{% set x %}{% for i in range(99999) %}{{ 'a' * 1000000 }}{% endfor %}{% endset %}",
        "x" * ((1 << 20) + 1),
    ],
    ids=lambda x: x[:40],
)
def test_a_template_that_asks_for_much_is_refused(source):
    with pytest.raises(ModelFolderError, match="the chat template failed"):
        ChatTemplate(source, {}).render(USER)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for x in [1] recursive %}{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}",
    ],
    ids=lambda x: x[:40],
)
def test_a_template_that_takes_long_is_stopped(source, monkeypatch):
    monkeypatch.setattr(chat_template, "MAX_SECONDS", 0.1)
    with pytest.raises(ModelFolderError, match="it takes longer than"):
        ChatTemplate(source, {}).render(USER)


@pytest.mark.parametrize("source", ["{{" + "(" * 3000 + "1" + ")" * 3000 + "}}", "{% if 1 %}" * 500, "{{ [" * 2000])
def test_nesting_that_is_too_deep_is_one_error(source):
    with pytest.raises(ModelFolderError, match="the chat template failed"):
        ChatTemplate(source, {}).render(USER)


def test_bounds_leave_ordinary_templates_alone():
    source = (
        "{%- set ns = namespace(n=0, text='') -%}"
        "{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}{%- set ns.text = ns.text ~ m.content -%}"
        "{{ '<|' + m['role'] + '|>' }}{{ m.content | trim }}{{ '%s-%03d' % ('a', ns.n) }}{{ '{}!'.format(loop.index) }}"
        "{%- if loop.last %}{{ loop.length }}{{ loop.revindex }}{% endif %}{%- endfor -%}"
        "{{ ns.text | length }} {{ messages | map(attribute='role') | join(', ') }} {{ {'id': 12345678901} | tojson }}"
        "{{ 12345678901 | string }}{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ 'x' * 3 }}"
    )
    messages = [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}]
    rendered = ChatTemplate(source, {}).render(messages)
    assert (
        rendered == "<|user|>aa-0011!<|assistant|>ba-0022!21" + '4 user, assistant {"id": 12345678901}12345678901a1xxx'
    )


def test_a_long_conversation_is_within_the_bounds(pocket):
    messages = [{"role": r, "content": "word " * 200} for _ in range(1000) for r in ("user", "assistant")]
    assert len(pocket.tokenizer.template.render(messages)) > 2_000_000


def test_a_system_message_goes_in_front_where_the_template_has_none(pocket):
    template = ChatTemplate(NO_SYSTEM, {})
    assert not template.takes_system
    assert template.render(SYSTEM) == "<user>Be short.\nHi"
    assert not pocket.tokenizer.template.takes_system  # which drops it in silence
    assert "Be short. Hi" in pocket.tokenizer.template.render(SYSTEM)


def test_a_system_message_stays_where_the_template_has_one():
    template = ChatTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", {})
    assert template.takes_system
    assert template.render(SYSTEM) == "<system>Be short.<user>Hi"
