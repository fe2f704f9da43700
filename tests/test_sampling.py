"""Filters agree with their slow twin, and draws follow the distribution that the filters leave."""

import subprocess
import sys

import numpy as np
import pytest

from engram_local.errors import BackendError, EngramError
from engram_local.sampling import Sampler, SamplingParams, candidates, candidates_full, penalize

NOTHING = np.empty(0, np.int64)


def logits(n, seed=0, scale=3.0):
    return (np.random.default_rng(seed).standard_normal(n) * scale).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 50, 1024, 1025, 5000])
@pytest.mark.parametrize("top_k", [0, 1, 40, 6000])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.01])
@pytest.mark.parametrize("min_p", [0.0, 0.05, 1.0])
def test_candidates_equal_their_slow_twin(n, top_k, top_p, min_p):
    for seed, scale in ((0, 3.0), (1, 0.01), (2, 30.0)):
        params = SamplingParams(temperature=0.7, top_k=top_k, top_p=top_p, min_p=min_p)
        fast_ids, fast = candidates(logits(n, seed, scale), params)
        slow_ids, slow = candidates_full(logits(n, seed, scale), params)
        order = np.lexsort((fast_ids, -fast))  # where nothing is filtered they come in the vocabulary's order
        fast_ids, fast = fast_ids[order], fast[order]
        assert np.array_equal(fast_ids, slow_ids)
        np.testing.assert_allclose(fast, slow)


def test_equal_logits_keep_the_lower_ids():
    params = SamplingParams(temperature=1, top_k=3)
    values = np.array([1, 5, 5, 5, 5, 0], np.float32)
    assert candidates(values, params)[0].tolist() == candidates_full(values, params)[0].tolist() == [1, 2, 3]


def test_draws_follow_the_distribution():
    values = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    sampler = Sampler(SamplingParams(temperature=1, seed=0))
    counts = np.bincount([sampler.sample(values, NOTHING) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    sampler = Sampler(SamplingParams(temperature=1, top_p=0.7, seed=0))
    counts = np.bincount([sampler.sample(values, NOTHING) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.625, 0.375, 0, 0], atol=0.03)


def test_a_seed_repeats_its_draws():
    def draw(seed):
        sampler = Sampler(SamplingParams(temperature=1, seed=seed))
        return [sampler.sample(logits(500, i), NOTHING) for i in range(20)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_greedy_and_cold_agree():
    values = logits(1000)
    greedy = Sampler(SamplingParams()).sample(values, NOTHING)
    assert greedy == values.argmax()
    assert Sampler(SamplingParams(temperature=1e-3, seed=0)).sample(values, NOTHING) == greedy


def test_the_penalty_lowers_what_was_seen():
    values = np.array([2.0, -2.0, 1.0], np.float32)
    np.testing.assert_allclose(penalize(values, np.array([0, 1, 0]), 2.0), [1.0, -4.0, 1.0])
    assert values[0] == 2.0
    assert Sampler(SamplingParams(repetition_penalty=4.0)).sample(values, np.array([0])) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_damaged_logits_are_refused(bad):
    values = logits(10)
    values[3] = bad
    with pytest.raises(BackendError, match="not finite"):
        Sampler(SamplingParams()).sample(values, NOTHING)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0),
        ("min_p", 2),
        ("seed", -1),
        ("top_k", 1.5),
        ("top_p", "x"),
    ],
)
def test_senseless_settings_are_refused(name, value):
    with pytest.raises(EngramError, match=f"{name} is {value}; give "):
        SamplingParams(**{name: value})


def test_greedy_draws_no_random_numbers():
    """Importing numpy.random takes longer than a short answer of the pocket model."""
    code = (
        "import sys; from engram_local.sampling import Sampler, SamplingParams as P; Sampler(P()); "
        "print('numpy.random' in sys.modules); Sampler(P(temperature=1)); print('numpy.random' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "True"], done.stderr
