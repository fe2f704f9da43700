"""A model that thinks aloud: its thoughts come apart from what it says; a switch of its template is passed on."""

import pytest
from server_process import openai_client

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}"
    "{% else %}<|bot|>{{ m.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|bot|>"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% else %}<think>{% endif %}{% endif %}"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with openai_client(tmp_path_factory.mktemp("thoughts") / "model", TEMPLATE) as client:
        yield client


def test_thoughts_and_the_switch(client):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    ask = {"model": "model", "messages": messages, "max_tokens": 20}
    thinking = client.chat.completions.create(**ask).choices[0].message
    assert thinking.content == "" and thinking.model_extra["reasoning_content"]
    chunks = list(client.chat.completions.create(**ask, stream=True))
    parts = [(x.choices[0].delta.model_extra or {}).get("reasoning_content") or "" for x in chunks]
    assert "".join(parts) == thinking.model_extra["reasoning_content"]
    extra = {"template_args": {"enable_thinking": False}}
    said = client.chat.completions.create(**ask, extra_body=extra).choices[0].message
    assert said.content and "reasoning_content" not in (said.model_extra or {})
