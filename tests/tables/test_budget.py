"""The RAM limit in numbers: what is chosen, what each table gets, and that together it is never more than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engram_local.errors import EngramError, UsageError
from engram_local.tables import budget
from engram_local.tables.budget import Budget, batch_bytes_of, limit_bytes

MIB = 1 << 20


@pytest.mark.parametrize(
    ("access", "ram_limit", "taken", "why"),
    [
        ("auto", None, "resident", "300.0 MiB fit into half the free memory of 500.0 MiB"),
        ("auto", 400 * MIB, "resident", "300.0 MiB fit into the RAM limit of 400.0 MiB"),
        ("auto", 200 * MIB, "direct", "300.0 MiB exceed the RAM limit of 200.0 MiB"),
        ("resident", 200 * MIB, "direct", "resident was asked for, but 300.0 MiB exceed the RAM limit of 200.0 MiB"),
        ("mmap", 200 * MIB, "direct", "mmap was asked for, but 300.0 MiB exceed the RAM limit of 200.0 MiB"),
        ("mmap", 300 * MIB, "mmap", "asked for"),
        ("mmap", None, "mmap", "asked for"),
        ("resident", None, "resident", "asked for"),
        ("direct", 400 * MIB, "direct", "asked for"),
    ],
)
def test_what_is_chosen_and_why(access, ram_limit, taken, why):
    found = Budget.of([100 * MIB, 200 * MIB], access, ram_limit, available=1000 * MIB)
    assert {(x.access, x.why) for x in found.shares} == {(taken, why)}
    assert {x.warm for x in found.shares} == {access == taken == "resident"}


def test_half_the_free_memory_is_the_limit_that_nobody_gave():
    assert Budget.of([300 * MIB], available=500 * MIB).shares[0].access == "direct"
    assert Budget.of([300 * MIB], available=0).shares[0].access == "direct"  # the system does not tell


@given(
    st.lists(st.integers(1, 2**44), min_size=1, max_size=40),
    st.integers(budget.LEAST_READ_BYTES, 2**44),
    st.sampled_from(budget.ACCESS),
)
def test_all_together_stay_within_the_limit(data_bytes, limit, access):
    found = Budget.of(data_bytes, access, limit, available=2**40)
    assert found.too_little is None and len(found.shares) == len(data_bytes)
    if found.shares[0].access != "direct":
        assert sum(data_bytes) <= limit
        return
    # Caches, the buffers of two rings, and two batches.
    reading = 2 * (budget.RING_BYTES + found.batch_bytes)
    assert sum(x.cache_bytes for x in found.shares) + reading <= limit
    assert all(0 <= x.cache_bytes <= n for x, n in zip(found.shares, data_bytes, strict=True))


def test_tables_share_by_their_size():
    small, large = Budget.of([10 * MIB, 90 * MIB], "direct", 60 * MIB, available=0).shares
    assert large.cache_bytes == 27 * MIB and small.cache_bytes == 3 * MIB


def test_a_limit_that_reading_alone_exceeds():
    found = Budget.of([300 * MIB], "auto", 5 * MIB, available=2**40)
    assert found.too_little.startswith("a RAM limit of 5.0 MiB is too little: reading rows from disk takes 16.0 MiB")
    assert Budget.of([4 * MIB], "auto", 5 * MIB, available=2**40).too_little is None


def test_rows_of_a_batch():
    share = Budget.of([2**40], "direct", 16 * MIB, available=0).shares[0]
    assert share.batch_bytes == 6 * MIB and share.batch_rows(258) == 6 * MIB // 370
    assert share.batch_rows(10**9) == 64
    assert batch_bytes_of(48, 258, 256) == 48 * (258 + 1024 + 112)


@pytest.mark.parametrize(("given", "n_bytes"), [(None, None), (0, 0), (5000, 5000), ("2GiB", 2 << 30), ("4096", 4096)])
def test_limits_as_people_give_them(given, n_bytes):
    assert limit_bytes(given) == n_bytes


@pytest.mark.parametrize("given", [-1, 1.5, True, "much", "-5", b"5"])
def test_limits_that_are_none(given):
    with pytest.raises(EngramError):
        limit_bytes(given)
    with pytest.raises(UsageError, match="unknown table access"):
        Budget.of([1], "magic")
