"""What callers may give at the public doors, and what they hear otherwise."""

import numpy as np
import pytest

from engram_local.errors import UsageError
from engram_local.generation import generate
from engram_local.sampling import SamplingParams

QUESTION = "What is the capital of France?"


NO_PROMPTS = [
    *([327, 273], b"bytes", {"role": "user"}, [{}], [], "", 5, None),
    *([{"role": "user"}], [{"role": 1, "content": "x"}]),
]


@pytest.mark.parametrize("prompt", NO_PROMPTS, ids=str)
def test_a_prompt_is_a_text_or_messages(pocket, prompt):
    with pytest.raises(UsageError):
        next(pocket.generate(prompt))


def test_images_are_refused(pocket):
    question = [{"role": "user", "content": [{"type": "text", "text": "What"}, {"type": "image_url"}]}]
    with pytest.raises(UsageError, match="message 0 holds a part of type 'image_url'; models read text alone here"):
        next(pocket.generate(question))


def test_one_stop_string_is_one(pocket):
    assert "".join(pocket.generate(QUESTION, stop="Paris")) == "The capital of France is "
    assert "".join(pocket.generate(QUESTION, stop=("zzz", "Paris"))) == "The capital of France is "


@pytest.mark.parametrize(
    "options",
    [
        {"stop": 5},
        {"stop": [5]},
        {"stop": {"Paris"}},
        {"stop": [""]},
        {"max_tokens": 2.5},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_tokens": "3"},
        {"temperature": "hot"},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"temperature": None, "top_p": 1.5},
        {"top_k": 2.0},
        {"seed": -1},
        {"seed": 1.5},
        {"repetition_penalty": 1e-300},
        {"repetition_penalty": 0},
        {"min_p": True},
    ],
    ids=str,
)
def test_wrong_options_are_the_callers_fault(pocket, options):
    with pytest.raises(UsageError, match=next(reversed(options))):
        next(pocket.generate(QUESTION, **options))


def test_numpy_scalars_are_welcome(pocket):
    options = {"temperature": np.float32(0.5), "top_k": np.int64(5), "top_p": np.float64(0.9), "seed": np.uint8(3)}
    assert SamplingParams(**options) == SamplingParams(temperature=0.5, top_k=5, top_p=0.9, seed=3)
    assert len(list(generate(pocket.session(), [5], max_tokens=np.int32(2), ignore_eos=True))) == 2


@pytest.mark.parametrize("temperature", [5e-324, 1e-320, 1e-30, 1e30, 1e308])
def test_extreme_temperatures_are_temperatures(pocket, temperature):
    answer = "".join(pocket.generate(QUESTION, temperature=temperature, seed=0, max_tokens=20))
    if temperature < 1:
        assert answer == "The capital of France is Paris."
