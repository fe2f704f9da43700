import json
from pathlib import Path

import pytest

from engram_local.tools.checkpoints import draws

CASES = json.loads((Path(__file__).parents[2] / "data" / "draws.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda x: x["name"])
def test_known_answers(case):
    """Numbers that the demo's own code drew."""
    primes = draws.head_primes(case["layer_ids"], case["head_size_base"], case["n_heads"])
    for layer_id, expected in case["layers"].items():
        largest = max(case["ngram_sizes"])
        drawn = draws.multipliers(case["seed"], int(layer_id), case["compressed_vocab_size"], largest)
        assert drawn == expected["multipliers"]
        assert primes[int(layer_id)] == expected["primes"]
        assert draws.offsets(primes[int(layer_id)]) == expected["offsets"]


def test_no_head_takes_a_prime_twice():
    primes = draws.head_primes([5, 1], [1, 1, 2], 3)
    assert primes == {5: [2, 3, 5, 7, 11, 13, 17, 19, 23], 1: [29, 31, 37, 41, 43, 47, 53, 59, 61]}


def test_primes():
    sieve = [n for n in range(2000) if n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))]
    assert [n for n in range(2000) if draws.is_prime(n)] == sieve
    # Strong pseudoprimes to few bases, and primes of their size.
    assert not any(draws.is_prime(n) for n in (3215031751, 3825123056546413051, 318665857834031151167461, 2**61 + 1))
    assert all(draws.is_prime(n) for n in (2**31 - 1, 2**61 - 1, 20_000_003))
