"""Several sessions in one step: each gets what it would get alone, in any mix, and all rows come in one batch."""

import os

import numpy as np
import pytest
from tiny_gguf import make_tiny_gguf

import engram_local
from engram_local import _native
from engram_local.errors import ContextOverflowError, TableError, TokenRangeError, UsageError
from engram_local.session import forward_together

EXACT = {"rtol": 0, "atol": 1e-5}
ACCESS = ["resident", "mmap", "direct"]


@pytest.fixture(
    scope="module", params=[("onnx", x) for x in ACCESS] + [("gguf", "resident"), ("gguf", "direct")], ids=str
)
def model(request, tiny_path, tmp_path_factory):
    backend, access = request.param
    path, options = tiny_path, {}
    if backend == "gguf":
        pytest.importorskip("llama_cpp")
        path = make_tiny_gguf(tmp_path_factory.mktemp("together") / "model")
        options = {"kv_type": "float32", "flash_attention": "off"}
    with engram_local.load(path, threads=1, backend=backend, table_access=access, **options) as model:
        yield model


def alone(model, session, tokens, logits) -> np.ndarray | None:
    """What the tokens give behind the session's context, in a session of its own that is cut the same way."""
    with model.session(session.memory) as twin:
        if session.length:
            twin.forward(session.tokens, "none")
        return twin.forward(tokens, logits)


def check(model, parts) -> None:
    expected = [alone(model, *part) for part in parts]
    lengths = [session.length + len(tokens) for session, tokens, _ in parts]
    for wanted, got, (session, tokens, logits), length in zip(
        expected, forward_together(parts), parts, lengths, strict=True
    ):
        assert session.length == length and np.array_equal(session.tokens[-len(tokens) :], tokens)
        if logits == "none":
            assert got is None
        else:
            np.testing.assert_allclose(got, wanted, **EXACT)


def test_any_mix_of_lengths_memory_and_rewinds(model):
    rng = np.random.default_rng(8)
    sessions = [model.session(memory=i % 3 != 2) for i in range(6)]
    for _ in range(12):
        chosen = rng.choice(len(sessions), rng.integers(1, 7), replace=False)
        parts = []
        for i in chosen:
            session = sessions[i]
            if rng.random() < 0.4:
                session.rewind(int(rng.integers(0, session.length + 1)))
            if rng.random() < 0.3:
                session.read_ahead(rng.integers(0, model.n_tokens, 3))
            n = min(int(rng.choice([1, 1, 1, 2, 9, 40])), session.context_length - session.length)
            if n:
                tokens = rng.integers(0, model.n_tokens, n)
                parts.append((session, tokens, str(rng.choice(["last", "all", "none"]))))
        check(model, parts)
    for session in sessions:
        session.close()


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_sequences_of_several_chunks(model, monkeypatch, chunk):
    if model.backend.name == "gguf":
        pytest.skip("llama.cpp's buffers are as large as a chunk was when it was loaded")
    monkeypatch.setattr(model.backend, "max_chunk", chunk)
    monkeypatch.setattr("engram_local.session.FIRST_COLD_CHUNK", max(1, chunk // 2))
    rng = np.random.default_rng(chunk)
    parts = [(model.session(i != 1), rng.integers(0, model.n_tokens, n), "all") for i, n in enumerate((1, 20, 33, 7))]
    check(model, parts)


def test_the_rows_of_all_come_in_one_batch(model):
    """Counted where they are read: a gather a layer, whatever the number of sequences; each row asked for once."""
    tables = model.tables
    sessions = [model.session() for _ in range(3)] + [model.session(memory=False)]
    for n_tokens in (4, 1):
        before = {i: x.stats() for i, x in tables.items()}
        reads = _native.reader_stats()["rows"]
        forward_together([(session, np.arange(n_tokens) + i, "none") for i, session in enumerate(sessions)])
        for layer_id, table in tables.items():
            after, heads = table.stats(), model.config.layer(layer_id).n_heads
            assert after["gathers"] - before[layer_id]["gathers"] == 1
            assert after["rows_read"] - before[layer_id]["rows_read"] == 3 * n_tokens * heads
        n_direct = sum(x.n_heads for x in model.config.layers) if not tables.resident else 0
        if next(iter(tables.values())).access == "direct":
            assert _native.reader_stats()["rows"] - reads == 3 * n_tokens * n_direct


def test_decoding_is_counted(model):
    """Three tokens at once and two one by one are five tokens' rows."""
    before = model.stats()
    session = model.session()
    session.forward([1, 2, 3])
    session.forward([4])
    session.forward([5])
    for layer_id, after in model.stats().items():
        n_heads = model.config.layer(layer_id).n_heads
        assert after["rows_read"] - before[layer_id]["rows_read"] == 5 * n_heads
        assert after["gathers"] - before[layer_id]["gathers"] == 3
    assert session.stats.n_tokens == 5 and 0 < session.stats.lookup_s < session.stats.forward_s


def test_what_is_refused_leaves_all_as_they_were(model):
    a, b = model.session(), model.session()
    a.forward([1, 2])
    long = np.zeros(b.context_length + 1, np.int64)
    for parts, error in (
        ([(a, [3], "last"), (b, [model.backend.vocab_size], "last")], TokenRangeError),
        ([(a, [3], "last"), (b, long, "last")], ContextOverflowError),
        ([(a, [3], "last"), (b, [], "last")], UsageError),
        ([(a, [3], "last"), (b, [1], "first")], UsageError),
        ([(a, [3], "last"), (a, [4], "last")], UsageError),
    ):
        with pytest.raises(error):
            forward_together(parts)
        assert (a.length, b.length) == (2, 0)
    assert forward_together([]) == []
    check(model, [(a, [3], "last"), (b, [4, 5], "last")])


def test_sessions_of_several_models_are_refused(tiny, model):
    with pytest.raises(UsageError, match="several models"):
        forward_together([(tiny.session(), [1], "last"), (model.session(), [1], "last")])


class Shared:
    """A row source that keeps what it was asked, and answers from a model's tables."""

    def __init__(self, tables, max_tokens=1000):
        self.tables, self.max_tokens, self.asked = tables, max_tokens, []

    def start(self, row_ids):
        self.asked.append({i: len(x) for i, x in row_ids.items()})
        return self.tables.start(row_ids)


def test_a_row_source_can_stand_in_for_the_tables(tiny, monkeypatch):
    tokens = np.arange(40) % 60
    expected = tiny.session().forward(tokens, "all")
    source = Shared(tiny.tables)
    a, b = tiny.session(rows=source), tiny.session(rows=source)
    np.testing.assert_allclose(a.forward(tokens, "all"), expected, **EXACT)
    assert source.asked == [{0: 32}, {0: 8}]  # the first chunk is small: nothing computes while it is read
    a.rewind(20)
    np.testing.assert_allclose(a.forward(tokens[20:21]), expected[20:21], **EXACT)
    np.testing.assert_allclose(
        forward_together([(a, tokens[21:25], "all"), (b, tokens[:7], "all")])[0], expected[21:25], **EXACT
    )
    assert source.asked[2:] == [{0: 1}, {0: 11}]
    few = Shared(tiny.tables, max_tokens=10)  # what reading has memory for is shared by the sequences
    parts = [(tiny.session(rows=few), tokens[:12], "none") for _ in range(2)]
    forward_together(parts)
    assert few.asked == [{0: 10}, {0: 10}, {0: 4}]


def test_a_backbone_that_keeps_less_is_fed_the_rest(model, monkeypatch):
    """As recurrent ones do: the session still has exactly the tokens that were asked for, memory rows and all."""
    tokens = np.random.default_rng(1).integers(0, model.n_tokens, 30)
    for memory in (True, False):
        session = model.session(memory)
        session.forward(tokens)
        real = session.context.rewind
        monkeypatch.setattr(type(session.context), "rewind", lambda self, n, real=real: real(max(0, n - 7)))
        session.rewind(20)
        assert session.length == 20 and np.array_equal(session.tokens, tokens[:20])
        assert session.keep_prefix(np.append(tokens[:18], 1), exact=False) == 18 - 7 == session.length
        session.forward(tokens[11:20])
        assert session.keep_prefix(tokens[:3]) == 3 == session.length
        monkeypatch.undo()
        np.testing.assert_allclose(session.forward(tokens[3:], "all"), alone_from(model, memory, tokens, 3), **EXACT)


def alone_from(model, memory, tokens, begin) -> np.ndarray:
    with model.session(memory) as session:
        return session.forward(tokens, "all")[begin:]


def test_a_read_that_fails_leaves_every_length_true(tiny_copy):
    with engram_local.load(tiny_copy, threads=1, table_access="direct") as model:
        a, b = model.session(), model.session(memory=False)
        forward_together([(a, [1, 2], "none"), (b, [3], "none")])
        os.truncate(tiny_copy / "tables" / "layer_0.safetensors", 4096)
        with pytest.raises(TableError, match=r"layer_0\.safetensors"):
            forward_together([(a, [4, 5], "none"), (b, [6], "none")])
        assert (a.length, b.length) == (2, 1)


def test_gates_of_the_last_forward_that_asked(pocket):
    with pocket.session() as session, pocket.session(memory=False) as off:
        tokens = pocket.prompt_ids("What is the capital of France?")
        session.forward(tokens)
        assert session.gates == {}
        session.rewind(0)
        session.forward(tokens, gates=True)
        assert set(session.gates) == {x.layer_id for x in pocket.config.layers}
        for layer in pocket.config.layers:
            opened = session.gates[layer.layer_id]
            assert opened.shape == (len(tokens), layer.streams) and (opened >= 0).all() and (opened <= 1).all()
        one_by_one = []
        session.rewind(0)
        for token in tokens:
            session.forward([token], gates=True)
            one_by_one.append(session.gates)
        for i in one_by_one[0]:
            assert np.concatenate([x[i] for x in one_by_one]).shape == (len(tokens), 1)
        off.forward(tokens, gates=True)
        assert off.gates == {}
