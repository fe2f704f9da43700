"""The simulated cache policies keep their bounds, and the one that was built hits as often as its simulation says."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from engram_local.tables.budget import LEAST_READ_BYTES
from engram_local.tables.file import TableWriter
from engram_local.tables.table import Table
from engram_local.tools.compare import cache_policies
from engram_local.tools.compare.cache_policies import NAMES, POLICIES, Belady, S3Fifo

RNG = np.random.default_rng(0)


def zipf(n: int) -> list[int]:
    """Row ids below 20,000, few of them often."""
    return (RNG.zipf(1.2, n) % 20_000).tolist()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda x: x.name)
def test_no_policy_keeps_more_than_it_may(policy):
    cache = policy(100)
    seen, hits = set(), 0
    for row in zipf(20_000):
        hit = cache.access(row)
        assert not (hit and row not in seen)
        hits += hit
        seen.add(row)
    kept = sum(row in getattr(cache, name, ()) for row in seen for name in ("rows", "used", "uses"))
    kept += sum(len(getattr(cache, name, ())) for name in ("window", "probation", "protected"))
    assert 90 <= kept <= 100 and hits > 4000


def test_nothing_is_better_than_belady():
    """Beside every choice of what to keep, tried out."""
    for seed in range(30):
        rows = np.random.default_rng(seed).integers(0, 5, 9).tolist()

        @cache
        def most_hits(i, kept, rows=tuple(rows)):
            if i == len(rows):
                return 0
            there = kept | {rows[i]}
            choices = [frozenset(x) for n in range(3) for x in combinations(there, n)]
            return (rows[i] in kept) + max(most_hits(i + 1, x) for x in choices)

        assert sum(map(Belady(2, rows).access, rows)) == most_hits(0, frozenset())


def test_the_cache_that_was_built_does_as_simulated(tmp_path):
    path, stream = tmp_path / "t", zipf(30_000)
    with TableWriter(path, "float16", 20_000, 8) as writer:
        writer.append(np.zeros((20_000, 8), np.float32))
    with Table(path, access="direct", ram_limit=LEAST_READ_BYTES + 40_000) as table:
        if table.access != "direct":
            pytest.skip("this file system refuses direct reads")
        simulated = S3Fifo(table.stats()["cache"]["capacity"])
        for row in stream:
            table.gather([row])
        built = table.stats()["cache"]["hits"] / len(stream)
    expected = sum(map(simulated.access, stream)) / len(stream)
    assert 0.3 < expected < 0.95 and built == pytest.approx(expected, abs=0.01)


def test_run(monkeypatch, capsys):
    monkeypatch.setattr(cache_policies, "real_text", lambda: (RNG.integers(0, 50, 3000), "numbers"))
    monkeypatch.setattr(cache_policies, "TURN", 50)
    monkeypatch.setattr(cache_policies, "PROMPT", 200)
    monkeypatch.setattr(cache_policies, "SHARES", (0.0001,))
    result = cache_policies.run(3000)
    assert {name for by_share in result.values() for rates in by_share.values() for name in rates} == {*NAMES}
    assert all(0 < x < 1 for x in result["chat"][0.0001].values()) and "S3-FIFO" in capsys.readouterr().out
