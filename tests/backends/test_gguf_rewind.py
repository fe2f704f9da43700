"""Backbones that cannot go back by themselves: rewinds through checkpoints of their states, exact to the bit."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
from tiny_gguf import VOCAB
from tiny_hybrids import make_tiny_hybrid

import engram_local
from engram_local.backends import gguf
from engram_local.backends.base import Work
from engram_local.backends.state_checkpoints import StateCheckpoints
from engram_local.errors import BackendError, EngramError, UsageError
from engram_local.session import forward_together

EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
IDS = np.random.default_rng(0).integers(4, VOCAB - 2, 80)
CHUNK, PROMPT, ANSWERED, END = 8, 40, 45, 51  # a prompt in chunks, five tokens of an answer, a second prompt
CUTS = [*range(0, PROMPT, CHUNK), *range(PROMPT, ANSWERED), ANSWERED, END]
CHECKPOINTS = [0, 8, 16, 24, 32, ANSWERED]


@pytest.fixture(scope="module", params=["lfm2", "qwen35"])
def path(request, tmp_path_factory):
    return make_tiny_hybrid(tmp_path_factory.mktemp(request.param) / "model", request.param)


@pytest.fixture
def model(path, monkeypatch):
    monkeypatch.setattr(gguf, "MAX_CHUNK", CHUNK)
    monkeypatch.setattr(gguf, "CHECKPOINT_EVERY", CHUNK)
    with engram_local.load(path, **EXACT) as model:
        yield model


def told(model, memory: bool = True, until: int = END):
    """A session that heard IDS as CUTS say."""
    session = model.session(memory)
    for begin, end in pairwise(x for x in CUTS if x <= until):
        session.forward(IDS[begin:end])
    return session


@pytest.mark.parametrize("memory", [True, False])
def test_rewind_to_every_length(model, memory):
    for length in range(END + 1):
        kept = max(x for x in CHECKPOINTS if x <= length)
        fresh = told(model, memory, kept)
        if length > kept:
            fresh.forward(IDS[kept:length], "none")
        session = told(model, memory)
        session.rewind(length)
        assert session.length == length
        following = np.roll(IDS, 7)[:12]
        if length < END:
            assert np.array_equal(session.forward(following, "all"), fresh.forward(following, "all")), length
        session.close()
        fresh.close()


def test_a_context_says_what_it_kept(model):
    for length in (44, 33, 32, 31, 7):
        session = told(model)
        assert session.context.rewind(length) == max(x for x in CHECKPOINTS if x <= length) == session.context.length
        session.close()


def test_rewinds_follow_one_another(model):
    session = told(model)
    for length in (47, 30, 30, 11, 3):
        session.rewind(length)
        kept = max(x for x in CHECKPOINTS if x <= length)
        fresh = told(model, until=kept)
        if length > kept:
            fresh.forward(IDS[kept:length], "none")
        assert np.array_equal(session.forward([9]), fresh.forward([9]))
        session.rewind(length)


def test_keep_prefix_and_regenerate(model):
    """What chat does: another turn behind the same beginning, and the same question again."""
    session = told(model)
    assert session.keep_prefix(np.concatenate([IDS[:43], [5, 6]])) == 43
    first = session.forward([5, 6])
    assert session.keep_prefix(np.concatenate([IDS[:43], [5, 6]])[:-1]) == 44
    assert np.abs(session.forward([6]) - first).max() < 1e-5


def test_without_room_for_checkpoints_it_begins_anew(path):
    with engram_local.load(path, **EXACT, checkpoint_bytes=0) as model:
        session = told(model)
        assert session.context.rewind(33) == 0
        session.forward(IDS[:33], "none")
        fresh = model.session()
        fresh.forward(IDS[:33], "none")
        assert np.array_equal(session.forward(IDS[33:50]), fresh.forward(IDS[33:50]))


def test_growing_keeps_the_state(path, monkeypatch):
    monkeypatch.setattr(gguf, "FIRST_CAPACITY", 8)
    with engram_local.load(path, **EXACT) as model:
        session = model.session()
        parts = [session.forward(part, "all") for part in np.split(IDS, [5, 12, 13, 50])]
        monkeypatch.undo()
        whole = model.session().forward(IDS, "all")
        assert np.abs(np.concatenate(parts) - whole).max() < 1e-5


def test_a_sequence_that_begins_anew_takes_nothing_of_whose_place_it_gets(path):
    """The last of three that step together again is moved to where the one lies that does not step."""
    with engram_local.load(path, **EXACT, n_sequences=4) as model:
        a, b, c, d = sessions = [model.session() for _ in range(4)]
        forward_together([(x, IDS[i : i + 20], "none") for i, x in enumerate(sessions)])
        forward_together([(x, [9], "none") for x in (a, c, d)])
        d.rewind(0)
        begun = forward_together([(a, [9], "last"), (c, [9], "last"), (d, IDS[:7], "last")])[2]
        assert np.abs(begun - model.session().forward(IDS[:7])).max() < 1e-5
        b.rewind(20)
        with model.session() as fresh:
            fresh.forward(IDS[1:21], "none")
            assert np.abs(b.forward([9]) - fresh.forward([9])).max() < 1e-5


def test_a_prompts_read_that_fails_costs_nothing(model):
    class Broken:
        def wait(self, layer_id):
            if layer_id == 2:
                raise EngramError("the disk failed")
            return np.zeros((5, 16), np.float32)

    session = told(model)
    with pytest.raises(EngramError, match="the disk failed"):
        model.backend.forward([Work(session.context, IDS[:5], Broken())])
    assert session.context.length == END
    assert np.array_equal(session.forward(IDS[:5]), told(model).forward(IDS[:5]))


def test_a_single_tokens_read_that_fails_costs_this_turn(model):
    """Its rows are waited for in the middle of the step."""

    class Broken:
        def wait(self, layer_id):
            raise EngramError("the disk failed")

    session = told(model)
    session.forward(IDS[51:52])
    with pytest.raises(EngramError, match="the disk failed"):
        model.backend.forward([Work(session.context, np.array([3]), Broken())])
    assert session.context.length == ANSWERED
    session.forward(IDS[ANSWERED:END])
    assert np.array_equal(session.forward([3]), told(model).forward([3]))


def test_a_step_that_fails_half_way_goes_back_to_a_checkpoint(model, monkeypatch):
    def broken(*_):
        raise BackendError("the layer failed")

    session = told(model)
    session.forward(IDS[51:52])
    with monkeypatch.context() as patch:
        patch.setattr(model.backend.layers[1], "run", broken)
        with pytest.raises(BackendError, match="the layer failed"):
            session.forward([3])
    assert session.context.length == ANSWERED
    session.forward(IDS[ANSWERED:END])
    fresh = told(model)
    assert np.array_equal(session.forward([3]), fresh.forward([3]))


def test_wrong_lengths_are_refused(model):
    session = told(model)
    for length in (-1, END + 1):
        with pytest.raises(UsageError, match=f"cannot rewind to {length}"):
            session.context.rewind(length)


def test_the_budget_lets_the_oldest_go():
    kept = StateCheckpoints(250)
    for length in (10, 20, 30):
        kept.add("a", length, np.zeros(100, np.uint8))
    assert kept.latest("a", 15) is None
    assert kept.latest("a", 25).length == 20
    assert kept.latest("b") is None
    kept.add("b", 5, np.zeros(100, np.uint8))
    assert kept.latest("a", 25) is None
    kept.drop("a", longer_than=30)
    assert kept.latest("a").length == 30
    kept.drop("a", longer_than=29)
    assert kept.latest("a") is None
    kept.drop("b")
    assert kept.latest("b") is None
