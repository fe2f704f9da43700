"""The one-call lookup of a single token agrees with its twin: row_ids and gather, one after another."""

import os

import numpy as np
import pytest
from tiny_model import VOCAB

import engram_local
from engram_local import _native
from engram_local.errors import TableError, TokenRangeError
from engram_local.hashing import DEAD
from engram_local.lookup import StepLookup


@pytest.mark.parametrize("name", ["tiny", "pocket"])
def test_the_twins_agree(name, request):
    model = request.getfixturevalue(name)
    hasher, lookup = model.hasher, StepLookup(model.hasher, model.tables)
    tokens = np.random.default_rng(0).integers(0, hasher.vocab_size, 50)
    expected_ids = np.concatenate([np.full(hasher.max_lag, DEAD), hasher.ids(tokens)])
    ids = np.full(hasher.max_lag + len(tokens), DEAD)
    for t, token in enumerate(tokens):
        lookup.read(token, ids, hasher.max_lag + t)
        assert np.array_equal(ids[: hasher.max_lag + t + 1], expected_ids[: hasher.max_lag + t + 1])
        for layer_id, table in model.tables.items():
            row_ids = hasher.row_ids_of(expected_ids[t:][: hasher.max_lag + 1], layer_id, hasher.max_lag)
            assert np.array_equal(lookup.wait(layer_id), table.gather(row_ids).reshape(1, -1))


@pytest.mark.parametrize("uring", [True, False])
def test_the_twins_agree_on_tables_that_are_read_directly(tiny, tiny_path, uring):
    _native.use_io_uring(uring)
    try:
        with engram_local.load(tiny_path, table_access="direct") as cold:
            lookup, twin = StepLookup(cold.hasher, cold.tables), StepLookup(tiny.hasher, tiny.tables)
            tokens = np.random.default_rng(0).integers(0, VOCAB, 50)
            ids, expected = np.full((2, cold.hasher.max_lag + len(tokens)), DEAD)
            for t, token in enumerate(tokens):
                lookup.read(token, ids, cold.hasher.max_lag + t)
                twin.read(token, expected, cold.hasher.max_lag + t)
                if t % 3:  # else nobody wants these
                    for layer_id in [*cold.tables, *cold.tables]:
                        rows = lookup.wait(layer_id)
                        assert np.array_equal(rows, twin.wait(layer_id)) and rows.any()
            assert np.array_equal(ids, expected)
            assert cold.tables.stats().keys() == tiny.tables.stats().keys()
            assert all(x["gathers"] == 50 for x in cold.tables.stats().values())
            with pytest.raises(TokenRangeError, match=f"token id {VOCAB} is outside"):
                lookup.read(VOCAB, ids, 4)
            with pytest.raises(ValueError, match="nothing was read"):
                lookup.wait(next(iter(cold.tables)))
    finally:
        _native.use_io_uring(True)


def test_bad_calls_are_errors(tiny):
    lookup = StepLookup(tiny.hasher, tiny.tables)
    ids = np.full(8, DEAD)
    for token in (-2, VOCAB):
        with pytest.raises(TokenRangeError, match=f"token id {token} is outside the vocabulary of {VOCAB}"):
            lookup.read(token, ids, 4)
    for position in (-1, 8):
        with pytest.raises(ValueError, match="position"):
            lookup.read(1, ids, position)
    assert (ids == DEAD).all()


def test_a_token_is_the_same_however_its_rows_are_read(tiny_path):
    for access, fits in (("resident", True), ("mmap", False), ("direct", False)):
        with engram_local.load(tiny_path, table_access=access) as model:
            assert model.tables.resident == fits
            expected = model.session().forward([1, 2, 3])
            session = model.session()
            got = [session.forward([t]) for t in (1, 2, 3)][-1]
            session.rewind(2)
            session.read_ahead([3])
            assert np.array_equal(session.forward([3]), got)
            session.rewind(2)
            session.read_ahead([4])  # which does not come
            assert np.array_equal(session.forward([3]), got)
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("left", [0, 1, 5])
def test_a_table_that_is_cut_while_it_is_open_is_an_error(tiny_copy, left):
    """Whether the pages are gone (0) or the last one reads as zeros behind the cut."""
    with engram_local.load(tiny_copy) as model:
        session = model.session()
        session.forward([1])
        table = tiny_copy / "tables" / "layer_0.safetensors"
        os.truncate(table, model.tables[0].layout.columns[0].extents[0].offset + left)
        with pytest.raises(TableError, match=r"layer_0\.safetensors"):
            session.forward([2])
        assert session.length == 1
