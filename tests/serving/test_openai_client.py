"""What the `openai` package gets: whole and streamed, sync and async, equal to the Python API's answer."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openai
import pytest
from server_process import running

from engram_local.model_folder import POCKET, write_manifest

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_chat_answer(client):
    done = client.chat.completions.create(model="pocket", messages=QUESTION)
    assert done.choices[0].message.content == ANSWER
    assert (done.choices[0].finish_reason, done.object) == ("stop", "chat.completion")
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    assert done.usage.prompt_tokens == 10


def test_a_stream_says_the_same_and_ends_with_the_usage(client):
    stream = client.chat.completions.create(
        model="pocket", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(x.choices[0].delta.content or "" for x in chunks if x.choices) == ANSWER
    assert [x.choices[0].finish_reason for x in chunks if x.choices][-1] == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 8
    assert all(x.usage is None for x in chunks[:-1])


def test_twelve_clients_at_once(server, pocket):
    words = [
        "France",
        "Japan",
        "Brazil",
        "Kenya",
        "Norway",
        "Egypt",
        "Peru",
        "Spain",
        "India",
        "Chile",
        "Italy",
        "Cuba",
    ]
    prompts = [f"What is the capital of {x}?" for x in words]

    async def ask(client, prompt):
        stream = await client.chat.completions.create(
            model="pocket", messages=[{"role": "user", "content": prompt}], stream=True
        )
        return "".join([x.choices[0].delta.content or "" async for x in stream])

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, x) for x in prompts))

    for prompt, answer in zip(prompts, asyncio.run(ask_all()), strict=True):
        assert answer == "".join(pocket.generate(prompt)), prompt


def test_memory_off_is_another_answer(client):
    done = client.chat.completions.create(model="pocket", messages=QUESTION, extra_body={"memory": False})
    assert done.choices[0].message.content != ANSWER
    assert done.choices[0].model_extra["engram"]["memory"] is False
    assert done.choices[0].model_extra["engram"]["rows_read"] == 0


def test_log_probabilities(client, pocket):
    done = client.chat.completions.create(
        model="pocket", messages=QUESTION, logprobs=True, top_logprobs=3, max_tokens=4, temperature=0
    )
    ids = pocket.prompt_ids(QUESTION[0]["content"])
    with pocket.session() as session:
        for token in done.choices[0].logprobs.content:
            logits = session.forward(ids)[0, : pocket.n_tokens].astype(np.float64)
            expected = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            best = np.argsort(-expected, kind="stable")[:3]
            assert [x.token for x in token.top_logprobs] == [pocket.tokenizer.decode([i], False) for i in best]
            assert token.token == token.top_logprobs[0].token
            np.testing.assert_allclose([x.logprob for x in token.top_logprobs], expected[best], atol=0.5)
            assert bytes(token.bytes).decode() == token.token
            ids = [int(best[0])]
    assert done.choices[0].finish_reason == "length"


def test_several_choices_and_seeds(client):
    """Sums of a batch are rounded in another order than those of one sequence, so few tokens and no hair's breadths."""
    ask = {"model": "pocket", "messages": QUESTION, "temperature": 20.0, "n": 3}
    one, two, other = (client.chat.completions.create(**ask, max_tokens=1, seed=seed) for seed in (1, 1, 50))
    texts = [[x.message.content for x in done.choices] for done in (one, two, other)]
    assert texts[0] == texts[1] != texts[2]
    assert len(set(texts[0])) == 3 and [x.index for x in one.choices] == [0, 1, 2]
    assert (one.usage.completion_tokens, one.usage.prompt_tokens) == (3, 10)


def test_stop_strings_bias_and_penalties(client, pocket):
    done = client.chat.completions.create(model="pocket", messages=QUESTION, stop=[" Paris", "zzz"])
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("The capital of France is", "stop")
    (token,) = pocket.tokenizer.encode(" Paris", add_special_tokens=False)
    done = client.chat.completions.create(model="pocket", messages=QUESTION, logit_bias={str(token): -100})
    assert "Paris" not in done.choices[0].message.content
    done = client.chat.completions.create(
        model="pocket", messages=QUESTION, logit_bias={str(token): 100}, max_tokens=3, presence_penalty=0
    )
    assert done.choices[0].message.content == " Paris Paris Paris"
    done = client.chat.completions.create(
        model="pocket", messages=QUESTION, logit_bias={str(token): 100}, max_tokens=300, frequency_penalty=2
    )
    assert done.choices[0].message.content.startswith(" Paris" * 30)
    assert not done.choices[0].message.content.startswith(" Paris" * 60)


def test_completions(client, pocket):
    text = "The capital of Japan is"
    done = client.completions.create(model="pocket", prompt=text, max_tokens=5, temperature=0)
    assert done.object == "text_completion"
    assert done.choices[0].text == "".join(pocket.generate(text, raw=True, max_tokens=5))
    ids = pocket.tokenizer.encode(text)
    again = client.completions.create(model="pocket", prompt=[ids, ids], max_tokens=5, temperature=0, echo=True)
    assert [x.text for x in again.choices] == [pocket.tokenizer.decode(ids, False) + done.choices[0].text] * 2


def test_structured_output(client):
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["city", "n"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    done = client.chat.completions.create(model="pocket", messages=QUESTION, response_format=form, max_tokens=200)
    answer = json.loads(done.choices[0].message.content)
    assert answer["city"] in ("Paris", "Rome") and 0 <= answer["n"] <= 9 and set(answer) == {"city", "n"}
    with pytest.raises(openai.BadRequestError, match="Invalid type"):
        form["json_schema"]["schema"] = {"type": "no such type"}
        client.chat.completions.create(model="pocket", messages=QUESTION, response_format=form)


def test_models(client):
    assert [x.id for x in client.models.list()] == ["pocket"]
    assert client.models.retrieve("pocket").owned_by == "engram_local"
    with pytest.raises(openai.NotFoundError, match="it is called 'pocket'"):
        client.models.retrieve("gpt-5")


def test_what_the_readme_says(server):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python server\n(.*?)^```$", readme, re.M | re.S)
    code = code.replace("http://127.0.0.1:8080", server.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == ANSWER + "\n", done.stderr


def test_curl(server):
    body = json.dumps({"messages": QUESTION})
    command = ["curl", "-sS", f"{server.url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == ANSWER, done.stderr


def test_a_model_whose_tokenizer_is_in_its_gguf(tmp_path):
    """Its grammar is made of llama.cpp's vocabulary."""
    pytest.importorskip("llama_cpp")
    shutil.copytree(POCKET, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json", "backbone.onnx", "backbone.onnx.data"):
        (tmp_path / "model" / name).unlink()
    write_manifest(tmp_path / "model")
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["Paris", "Rome", 7]}}}
    with running(tmp_path / "model") as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        done = client.chat.completions.create(model="model", messages=QUESTION)
        assert done.choices[0].message.content == ANSWER
        done = client.chat.completions.create(model="model", messages=QUESTION, response_format=form)
        assert json.loads(done.choices[0].message.content) in ("Paris", "Rome", 7)
