"""What Engram's trainers draw from a seed: multipliers and head sizes. Exporters need it, runtimes do not.

Source: NgramHashMapping of the public Engram demo (arXiv 2601.07372); engram-peft and TinyEngram draw alike.
"""

from itertools import accumulate

import numpy as np

from engram_local.errors import CheckpointError

MAX_HEADS = 4096  # of a layer
INT64_MAX = 2**63 - 1
WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)  # decide every number below 3.3e24


def check_heads(n: int) -> None:
    """CheckpointError for a number of heads that no model has: drawing their sizes would take for ever."""
    if n > MAX_HEADS:
        raise CheckpointError(f"{n} heads are too many, at most {MAX_HEADS} are known; correct the config")


def multipliers(seed: int, layer_id: int, n_ids: int, n: int) -> list[int]:
    """The `n` odd multipliers of one layer, small enough that a product with an id below `n_ids` fits into int64."""
    bound = max(1, INT64_MAX // n_ids // 2)
    draws = np.random.default_rng(seed + 10007 * layer_id).integers(0, bound, size=n, dtype=np.int64)
    return [2 * int(x) + 1 for x in draws]


def head_primes(layer_ids: list[int], bases: list[int], heads: int) -> dict[int, list[int]]:
    """Rows of every head, by layer, in (order, head) order.

    Layers in the order given, orders, heads: each takes the next prime, from the order's base on, that none has taken.
    Example: head_primes([1, 5], [10, 10], 2) -> {1: [11, 13, 17, 19], 5: [23, 29, 31, 37]}
    """
    check_heads(len(bases) * heads)
    taken: set[int] = set()
    primes = {}
    for layer_id in layer_ids:
        primes[layer_id] = []
        for base in bases:
            candidate = base
            for _ in range(heads):
                while candidate in taken or not is_prime(candidate):
                    candidate += 1
                taken.add(candidate)
                primes[layer_id].append(candidate)
    return primes


def offsets(primes: list[int]) -> list[int]:
    """First row of each head's segment."""
    return [0, *accumulate(primes)][:-1]


def is_prime(n: int) -> bool:
    """Miller and Rabin's test, exact for n < 3.3e24."""
    if n < 2 or any(n % p == 0 for p in WITNESSES):
        return n in WITNESSES
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for a in WITNESSES:
        x = pow(a, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True
