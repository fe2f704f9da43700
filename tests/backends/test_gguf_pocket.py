"""The shipped model through llama.cpp: it answers as it does through ONNX Runtime."""

import json
import subprocess
import sys

import numpy as np
import pytest

import engram_local
from engram_local.graph_names import GGUF_FILE
from engram_local.model_folder import POCKET

pytest.importorskip("llama_cpp")
from engram_local.backends.gguf_tokenizer import GgufTokenizer

pytestmark = pytest.mark.skipif(
    not (POCKET / GGUF_FILE).is_file(), reason="backbone.gguf does not fit beside this pocket's tables"
)

QUESTIONS = "What is the capital of France?\nWhat is the capital of Japan?\nWho are you?\n"


@pytest.fixture(scope="module")
def through_gguf():
    with engram_local.load(backend="gguf", threads=1) as model:
        yield model


def test_chat_answers_as_with_onnx():
    replies = {}
    for backend in ("onnx", "gguf"):
        command = [
            sys.executable,
            "-m",
            "engram_local.cli",
            "chat",
            "--backend",
            backend,
            "--temperature",
            "0",
            "--threads",
            "1",
        ]
        done = subprocess.run(command, input=QUESTIONS, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        replies[backend] = done.stdout
    assert "Paris" in replies["gguf"] and "Tokyo" in replies["gguf"]
    assert replies["gguf"] == replies["onnx"]


def test_without_memory_the_fact_is_lost(through_gguf):
    options = {"temperature": 0, "max_tokens": 20}
    assert "Paris" in "".join(through_gguf.generate("What is the capital of France?", **options))
    session = through_gguf.session(memory=False)
    logits, pieces = session.forward(through_gguf.prompt_ids("What is the capital of France?")), []
    for _ in range(12):
        pieces.append(int(logits[0].argmax()))
        logits = session.forward(pieces[-1:])
    assert "Paris" not in through_gguf.tokenizer.decode(pieces)


@pytest.mark.parametrize("memory", [True, False])
def test_logits_are_near_those_of_onnx(pocket, through_gguf, memory):
    """int8 on both sides, rounded differently."""
    ids = pocket.prompt_ids("What is the capital of France?")
    first, second = (x.session(memory).forward(ids, "all") for x in (pocket, through_gguf))
    assert np.abs(first - second).max() < 1.5
    assert np.abs(first - second).mean() < 0.15


def test_a_rewound_chat_goes_on_as_a_new_one(through_gguf):
    ids = np.array(through_gguf.prompt_ids("What is the capital of France?"))
    session = through_gguf.session()
    session.forward(ids)
    session.rewind(5)
    fresh = through_gguf.session()
    fresh.forward(ids[:5])
    assert np.array_equal(session.forward(ids[5:]), fresh.forward(ids[5:]))


def test_the_ggufs_own_tokenizer_splits_alike(through_gguf):
    theirs = GgufTokenizer(through_gguf.backend.path)
    for text in ("What is the capital of France?", "1984, caf\u00e9  --  \u4e16\u754c\n\n end"):
        assert theirs.encode(text) == through_gguf.tokenizer.encode(text)
    messages = [{"role": "user", "content": "Who are you?"}]
    assert theirs.encode_chat(messages) == through_gguf.tokenizer.encode_chat(messages)


def test_inspect_tells_of_both():
    command = [sys.executable, "-m", "engram_local.cli", "inspect", "--json"]
    about = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)
    assert list(about["backbones"]) == ["onnx", "gguf"]
