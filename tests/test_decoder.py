"""A Decoder alone: logits that a test makes up, no model and no session; and two that share a model's steps."""

import numpy as np
import pytest
import tokenizers

from engram_local.errors import BackendError
from engram_local.generation import Decoder, generate
from engram_local.sampling import SamplingParams
from engram_local.session import forward_together
from engram_local.tokenization import Tokenizer

WORDS = ["<end>", "one", "two", "three", "four"]
GREEDY = SamplingParams()


@pytest.fixture(scope="module")
def tokenizer():
    own = Tokenizer.__new__(Tokenizer)
    own.core = tokenizers.Tokenizer(tokenizers.models.WordLevel({x: i for i, x in enumerate(WORDS)}, "<end>"))
    return own


def logits_of(*tokens):
    """Logits float32 [n, vocab] that make each of `tokens` the likeliest."""
    return np.eye(len(WORDS), dtype=np.float32)[list(tokens)] * 9


def drive(decoder, tokens):
    steps = []
    for logits in logits_of(*tokens):
        decoder.begin()
        steps.append(decoder.accept(decoder.sample(logits)))
        if steps[-1].finish_reason:
            break
    return steps


def test_logits_in_steps_out(tokenizer):
    steps = drive(Decoder(tokenizer, [1, 2], 9, GREEDY, end_ids={0}), [3, 4, 0, 1])
    assert [x.token_id for x in steps] == [3, 4, 0]
    assert "".join(x.text for x in steps).split() == ["three", "four"]
    assert [x.finish_reason for x in steps] == [None, None, "stop"]
    assert [x.n_generated for x in steps] == [1, 2, 3]
    assert {(x.n_prompt, x.n_reused) for x in steps} == {(2, 0)}


def test_what_goes_on(tokenizer):
    decoder = Decoder(tokenizer, [1], 2, GREEDY, end_ids={0})
    assert decoder.goes_on(3) and not decoder.goes_on(0)
    decoder.accept(3)
    assert not decoder.goes_on(3), "the limit is reached with the next"
    assert decoder.accept(3).finish_reason == "length"


def test_stop_strings_and_penalties_need_no_model(tokenizer):
    steps = drive(Decoder(tokenizer, [1], 9, GREEDY, stop="four"), [2, 3, 4, 1])
    assert steps[-1].finish_reason == "stop_string" and "four" not in "".join(x.text for x in steps)
    penalized = Decoder(tokenizer, [3], 9, SamplingParams(repetition_penalty=100.0))
    assert penalized.sample(logits_of(3)[0] + 1) != 3


def test_damaged_logits(tokenizer):
    with pytest.raises(BackendError, match="not finite"):
        Decoder(tokenizer, [1], 9, GREEDY).sample(np.full(len(WORDS), np.nan, np.float32))


def test_several_share_a_step(pocket):
    """Each sequence has its Decoder; one forward computes all of their tokens. The texts are those of single runs."""
    questions = ["What is the capital of France?", "What is the atomic number of gold?", "Where is Kyoto?"]
    prompts = [pocket.prompt_ids(x) for x in questions]
    sessions = [pocket.session() for _ in prompts]
    decoders = [Decoder(pocket.tokenizer, p, 40, GREEDY, end_ids=pocket.eos_ids) for p in prompts]
    texts = [""] * len(prompts)
    waiting = {i: prompts[i] for i in range(len(prompts))}
    while waiting:
        for i in waiting:
            decoders[i].begin()
        found = forward_together([(sessions[i], tokens, "last") for i, tokens in waiting.items()])
        following = {}
        for i, logits in zip(waiting, found, strict=True):
            step = decoders[i].accept(decoders[i].sample(logits[0, : pocket.n_tokens]))
            texts[i] += step.text
            if not step.finish_reason:
                following[i] = [step.token_id]
        waiting = following
    assert texts == ["".join(x.text for x in generate(pocket.session(), p, max_tokens=40)) for p in prompts]
