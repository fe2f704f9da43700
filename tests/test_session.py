"""A session computes the same whatever way its tokens come: whole, in chunks, one by one, or after a rewind."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tiny_model import CONTEXT, HEAD_DIM, HEADS, HIDDEN, N_STATE, VOCAB, WIDTH, make_tiny_model

import engram_local
from engram_local.errors import BackendError, ContextOverflowError, EngramError, TokenRangeError

REFERENCE = Path(__file__).parent / "data" / "pocket_logits.npz"
TOKENS = np.random.default_rng(0).integers(0, VOCAB, 60)
EXACT = {"rtol": 0, "atol": 2e-6}


def whole(model, tokens, memory=True):
    return model.session(memory).forward(tokens, "all")


@pytest.mark.parametrize("memory", [True, False])
def test_decode_equals_prefill(tiny, memory):
    session = tiny.session(memory)
    decoded = np.concatenate([session.forward([t]) for t in TOKENS])
    np.testing.assert_allclose(decoded, whole(tiny, TOKENS, memory), **EXACT)


@pytest.mark.parametrize("chunk", [1, 3, 7, 59, 60])
def test_chunks_equal_one_call(tiny, monkeypatch, chunk):
    expected = whole(tiny, TOKENS)
    monkeypatch.setattr(tiny.backend, "max_chunk", chunk)
    np.testing.assert_allclose(whole(tiny, TOKENS), expected, **EXACT)
    np.testing.assert_allclose(tiny.session().forward(TOKENS), expected[-1:], **EXACT)


@pytest.mark.parametrize("cuts", [[1], [5, 6, 20], [2, 3, 4, 5]])
def test_calls_equal_one_call(tiny, cuts):
    session = tiny.session()
    parts = [session.forward(part, "all") for part in np.split(TOKENS, cuts)]
    np.testing.assert_allclose(np.concatenate(parts), whole(tiny, TOKENS), **EXACT)
    assert session.length == len(TOKENS)
    assert np.array_equal(session.tokens, TOKENS)


@pytest.mark.parametrize("length", [0, 1, 2, 31, 59])
def test_rewind_leaves_no_trace(tiny, length):
    """KV cache, hash history and convolution state: what follows has the same bits as if the rest had never been."""
    fresh, rewound = tiny.session(), tiny.session()
    for session in (fresh, rewound):
        if length:
            session.forward(TOKENS[:length])
    rewound.forward(TOKENS[::-1][: CONTEXT - length])
    rewound.rewind(length)
    assert np.array_equal(rewound.forward(TOKENS[length:], "all"), fresh.forward(TOKENS[length:], "all"))


def test_sessions_do_not_disturb_each_other(tiny):
    a, b, off = tiny.session(), tiny.session(), tiny.session(memory=False)
    for t, u in zip(TOKENS, TOKENS[::-1], strict=True):
        last_a, last_b, last_off = a.forward([t]), b.forward([u]), off.forward([t])
    np.testing.assert_allclose(last_a, whole(tiny, TOKENS)[-1:], **EXACT)
    np.testing.assert_allclose(last_b, whole(tiny, TOKENS[::-1])[-1:], **EXACT)
    np.testing.assert_allclose(last_off, whole(tiny, TOKENS, memory=False)[-1:], **EXACT)


def test_sessions_of_one_model_may_run_in_several_threads(tiny):
    def decode(tokens):
        session = tiny.session()
        return np.concatenate([session.forward([t]) for t in tokens])

    orders = [np.roll(TOKENS, i) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for tokens, got in zip(orders, pool.map(decode, orders), strict=True):
            np.testing.assert_allclose(got, whole(tiny, tokens), **EXACT)


def test_memory_off_equals_a_graph_without_the_layer(tiny, tmp_path):
    """`engram_enabled` false computes what a backbone without an Engram layer computes, bit for bit."""
    path = make_tiny_model(tmp_path / "plain", engram=False)
    n = len(TOKENS)
    kv = np.zeros((1, HEADS, n, HEAD_DIM), np.float32)
    feeds = {
        "input_ids": TOKENS[None],
        "seqlens_k": np.array([n - 1], np.int32),
        "total_sequence_length": np.array(n, np.int32),
        "logits_rows": np.arange(n),
        "past_key_values.0.key": kv,
        "past_key_values.0.value": kv,
        "engram_enabled": np.array([False]),
        "engram_rows_0": np.ones((1, n, WIDTH), np.float32),
        "past_engram_conv_0": np.ones((1, N_STATE, HIDDEN), np.float32),
    }
    # With no spare capacity the operator appends, so the past is empty here and not a buffer.
    feeds |= {x: kv[:, :, :0] for x in feeds if x.startswith("past_key_values")}
    plain = onnxruntime.InferenceSession(path / "backbone.onnx").run(["logits"], feeds)[0][0]
    np.testing.assert_allclose(whole(tiny, TOKENS, memory=False), plain, **EXACT)
    assert np.abs(whole(tiny, TOKENS) - plain).max() > 0.1


def test_buffers_grow_without_a_trace(tiny, tiny_path, monkeypatch):
    expected = whole(tiny, TOKENS)
    monkeypatch.setattr("engram_local.backends.onnx_slots.FIRST_CAPACITY", 4)
    with engram_local.load(tiny_path, threads=1) as model:
        session = model.session()
        got = np.concatenate([session.forward(part, "all") for part in np.split(TOKENS, [3, 4, 5, 30])])
    np.testing.assert_allclose(got, expected, **EXACT)


def test_reads_ahead_are_used_only_for_their_tokens(tiny):
    expected = whole(tiny, TOKENS)
    session = tiny.session()
    for i, t in enumerate(TOKENS):
        if i % 3 == 0:
            session.read_ahead([t])
        elif i % 3 == 1:
            session.read_ahead([(t + 1) % VOCAB])
        np.testing.assert_allclose(session.forward([t])[0], expected[i], **EXACT)
    session.rewind(10)
    session.read_ahead(TOKENS[10:20])
    session.rewind(5)
    np.testing.assert_allclose(session.forward(TOKENS[5:], "all"), expected[5:], **EXACT)


def test_keep_prefix(tiny):
    session = tiny.session()
    session.forward(TOKENS[:20])
    other = TOKENS.copy()
    other[12] = (other[12] + 1) % VOCAB
    assert session.keep_prefix(other) == 12
    assert session.keep_prefix(TOKENS) == 12
    assert session.keep_prefix([]) == 0


def test_logits_wanted(tiny):
    session = tiny.session()
    assert session.forward(TOKENS[:5], "none") is None
    assert session.forward(TOKENS[5:9], "last").shape == (1, VOCAB)
    assert session.forward(TOKENS[9:12], "all").shape == (3, VOCAB)


def test_bad_tokens_change_nothing(tiny):
    session = tiny.session()
    session.forward(TOKENS[:10])
    with pytest.raises(TokenRangeError, match=r"token id 64 at position 12 is outside the vocabulary of 64"):
        session.forward([1, 2, VOCAB])
    with pytest.raises(TokenRangeError, match="token id -1"):
        session.forward([-1])
    with pytest.raises(EngramError, match="empty"):
        session.forward([])
    with pytest.raises(ContextOverflowError, match=f"{CONTEXT + 1} tokens do not fit into the context of {CONTEXT}"):
        session.forward(np.zeros(CONTEXT - 9, np.int64))
    with pytest.raises(EngramError, match="cannot rewind to 11"):
        session.rewind(11)
    assert session.length == 10
    np.testing.assert_allclose(session.forward(TOKENS[10:], "all"), whole(tiny, TOKENS)[10:], **EXACT)


def test_the_context_can_be_filled(tiny):
    session = tiny.session()
    session.forward(np.zeros(CONTEXT, np.int64))
    with pytest.raises(ContextOverflowError):
        session.forward([1])


def test_a_shorter_context_can_be_asked_for(tiny_path):
    with engram_local.load(tiny_path, context_length=8) as model, pytest.raises(ContextOverflowError, match="of 8"):
        model.session().forward(TOKENS[:9])
    with pytest.raises(ContextOverflowError, match="takes 1 to 96"):
        engram_local.load(tiny_path, context_length=97)


def test_a_graph_that_lacks_an_input_is_refused(tmp_path):
    path = make_tiny_model(tmp_path / "model", drop_input="engram_enabled")
    with pytest.raises(BackendError, match="has no input engram_enabled"):
        engram_local.load(path)


@pytest.mark.parametrize("prompt", range(4))
def test_pocket_follows_the_reference(pocket, prompt):
    """The shipped model (int8 weights, int4 tables) against float32 logits of the PyTorch model: the
    largest of each position, memory on and off (make_pocket_logits.py wrote the file)."""
    data = np.load(REFERENCE)
    ids = data[f"ids_{prompt}"].astype(np.int64)
    for memory, kind in ((True, "logits"), (False, "plain")):
        got = pocket.session(memory).forward(ids, "all")
        top, expected = data[f"{kind}_top_{prompt}"].astype(np.int64), data[f"{kind}_{prompt}"]
        close = np.take_along_axis(got, top, 1)
        assert np.abs(close - expected).max() < 3.0
        assert np.abs(close - expected).mean() < 0.3
        sure = expected[:, 0] - expected[:, 1] > 1.0
        assert np.array_equal(got.argmax(1)[sure], top[sure, 0])


def test_pocket_decodes_as_it_prefills(pocket):
    ids = np.load(REFERENCE)["ids_1"].astype(np.int64)
    session = pocket.session()
    decoded = np.concatenate([session.forward([t]) for t in ids])
    expected = pocket.session().forward(ids, "all")
    assert np.abs(decoded - expected).max() < 0.5  # int8 weights: one row is multiplied by another kernel than many
    assert np.array_equal(decoded.argmax(1), expected.argmax(1))
