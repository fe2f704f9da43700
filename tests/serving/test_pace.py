"""How many tokens of a prompt a step takes, on machines whose steps cost what was measured on real ones (ms)."""

import random
from itertools import pairwise

import pytest

from engram_local.serving.pace import LEAST, Pace

STEP = 15.0


def onnx(n):
    """One token joins the batch of answers; more are a second pass over the weights."""
    return 3.0 if n == 1 else 14.0 + 1.9 * n


def gguf(n):
    return 12.0 if n == 1 else 15.0 + 7.0 * n


def many_cores(n):
    return 0.2 * n


def read(pace, cost, n_tokens, n_answers=1, noise=lambda: 0.0):
    """[(tokens, ms that they added)] of the steps that read a prompt."""
    steps = []
    while n_tokens:
        n = min(n_tokens, pace.tokens(n_answers))
        added = cost(n) + noise() if n else noise()
        pace.learn(n_answers, n, STEP + added)
        steps.append((n, added))
        n_tokens -= n
    return steps


@pytest.mark.parametrize(("cost", "most"), [(onnx, 2), (gguf, 1), (many_cores, 90)])
def test_steps_become_as_large_as_their_time_allows_and_no_larger(cost, most):
    pace = Pace(512)
    steps = read(pace, cost, 4000)
    assert max(added for _, added in steps) < 2 * STEP  # at no time three times a step without
    sizes = [n for n, _ in steps[len(steps) // 2 :]]
    assert sorted(sizes)[len(sizes) // 2] in range(int(0.75 * most), most + 1)
    again = read(pace, cost, 4000)
    assert max(added for _, added in again) < 2 * STEP and len(again) <= len(steps)


def test_alone_a_prompt_is_read_in_whole_chunks():
    pace = Pace(128)
    assert pace.tokens(0) == 128
    read(pace, gguf, 100)
    assert pace.tokens(0) == 128


def test_one_step_that_took_long_does_not_make_prompts_slow():
    pace = Pace(512)
    read(pace, onnx, 400)
    usual = pace.tokens(1)
    pace.learn(1, usual, 100 * STEP)
    assert pace.tokens(1) == usual
    fresh = Pace(512)
    for n, seconds in ((0, 30 * STEP), (0, STEP), (0, STEP), (1, 30 * STEP)):  # what is done first is slow
        fresh.learn(1, n, seconds)
    steps = read(fresh, onnx, 1000)
    assert max(added for _, added in steps) < 2 * STEP
    assert sorted(n for n, _ in steps)[len(steps) // 2] >= 2


def test_what_became_slower_or_faster_is_noticed():
    pace = Pace(512)
    read(pace, onnx, 400)
    read(pace, gguf, 400)
    assert pace.tokens(1) <= 1
    read(pace, onnx, 400)
    assert max(pace.tokens(1), pace.tokens(1)) >= 2


def test_more_answers_have_times_of_their_own():
    pace = Pace(512)
    read(pace, gguf, 100)
    assert pace.tokens(4) == 0  # first such a step is measured without a prompt
    for _ in range(3):
        pace.learn(4, 0, 3 * STEP)
    steps = [pace.tokens(4)]
    while sum(steps) < 100:
        pace.learn(4, steps[-1], 3 * STEP + gguf(steps[-1]) if steps[-1] else 3 * STEP)
        steps.append(pace.tokens(4))
    assert max(steps) >= 5


def test_a_prompt_comes_to_its_end_whatever_the_times():
    rng = random.Random(0)
    pace = Pace(512)
    steps = read(pace, lambda _: rng.expovariate(1 / 50), 2000, noise=lambda: rng.expovariate(1 / 50))
    assert len(steps) < 2500
    zeros = [i for i, (n, _) in enumerate(steps) if n == 0]
    assert all(b > a + 1 for a, b in pairwise(zeros[LEAST - 1 :]))
