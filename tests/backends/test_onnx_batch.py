"""Several sequences in one forward compute what each computes alone."""

import gc

import numpy as np
import pytest
from sequences import Given, Sequence
from tiny_model import CONTEXT, VOCAB

import engram_local
from engram_local.backends.base import Work
from engram_local.errors import ContextOverflowError, UsageError

RNG = np.random.default_rng(0)
EXACT = {"rtol": 0, "atol": 1e-5}


@pytest.fixture
def model(tiny_path):
    with engram_local.load(tiny_path, threads=1) as model:
        yield model


def test_any_mix_of_sequences_computes_what_each_does_alone(model, monkeypatch):
    """Lengths, memory on and off, chunks beside single tokens, rewinds, contexts that come and go, growing buffers."""
    monkeypatch.setattr("engram_local.backends.onnx_slots.FIRST_CAPACITY", 4)
    rng, sequences = np.random.default_rng(1), []
    for _ in range(120):
        if len(sequences) < 5 and rng.random() < 0.5:
            sequences.append(Sequence(model, bool(rng.integers(2))))
        if sequences and rng.random() < 0.15:
            sequences.pop(rng.integers(len(sequences))).context.close()
        for x in sequences:
            if len(x.tokens) and (rng.random() < 0.2 or len(x.tokens) > CONTEXT - 8):
                x.rewind(int(rng.integers(len(x.tokens))))
        chosen = [x for x in sequences if rng.random() < 0.8]
        rng.shuffle(chosen)
        works = [x.work(rng.integers(0, VOCAB, rng.choice([1, 1, 1, 3, 7]))) for x in chosen]
        if not works:
            continue
        for x, work, output in zip(chosen, works, model.backend.forward(works), strict=True):
            assert x.context.length == len(x.tokens)
            np.testing.assert_allclose(output.logits, x.alone(len(work.token_ids)), **EXACT)
            assert output.gates is None


@pytest.mark.parametrize("n", [1, 6])
def test_a_batch_has_the_bits_of_single_runs(model, n):
    """The tiny model's float32 kernels take each row alone, so not even the last bit differs."""
    batch = [Sequence(model, memory) for memory in (True, False, True)]
    singles = [Sequence(model, memory) for memory in (True, False, True)]
    if n == 1:
        for i, (a, b) in enumerate(zip(batch, singles, strict=True)):
            model.backend.forward([a.work(np.arange(3 * i + 1))])
            model.backend.forward([b.work(np.arange(3 * i + 1))])
    for step in range(3 if n == 1 else 1):
        tokens = [RNG.integers(0, VOCAB, n) for _ in batch]
        together = model.backend.forward([x.work(t) for x, t in zip(batch, tokens, strict=True)])
        for x, t, output in zip(singles, tokens, together, strict=True):
            assert np.array_equal(model.backend.forward([x.work(t)])[0].logits, output.logits), step


def test_each_gets_the_logits_and_gates_that_it_asked_for(model):
    a, b, c = (Sequence(model, memory) for memory in (True, False, True))
    tokens = RNG.integers(0, VOCAB, (3, 5))
    works = [a.work(tokens[0], "last", True), b.work(tokens[1], "all", True), c.work(tokens[2], "none")]
    last, whole, none = model.backend.forward(works)
    assert last.logits.shape == (1, VOCAB) and whole.logits.shape == (5, VOCAB) and none.logits is None
    assert last.gates[0].shape == (5, 1) and whole.gates == {} and none.gates is None
    assert last.gates[0].min() > 0 and last.gates[0].max() < 1
    step = model.backend.forward([x.work([1], "last", True) for x in (a, b, c)])
    np.testing.assert_allclose(step[0].logits, a.alone(1), **EXACT)
    fresh = Sequence(model, True)
    gates = model.backend.forward([fresh.work(a.tokens, "none", True)])[0].gates[0]
    np.testing.assert_allclose(gates, np.concatenate([last.gates[0], step[0].gates[0]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("memory", [True, False])
def test_the_pocket_model(pocket, memory):
    """int8 weights: ONNX Runtime's product of one row and of several round differently (test_session.py too)."""
    texts = ["The capital of France is", "A", "Birds can fly because they have wings and light bones"]
    sequences = [Sequence(pocket, memory and i != 1) for i in range(3)]
    singles = [Sequence(pocket, memory and i != 1) for i in range(3)]
    prompts = [pocket.tokenizer.encode(x) for x in texts]
    for x, y, prompt in zip(sequences, singles, prompts, strict=True):
        pocket.backend.forward([x.work(prompt)])
        pocket.backend.forward([y.work(prompt)])
    chosen = [7, 8, 9]
    for _ in range(6):
        together = pocket.backend.forward([x.work([t], gates=True) for x, t in zip(sequences, chosen, strict=True)])
        apart = [pocket.backend.forward([y.work([t])])[0] for y, t in zip(singles, chosen, strict=True)]
        for a, b in zip(together, apart, strict=True):
            np.testing.assert_allclose(a.logits, b.logits, rtol=0, atol=0.5)
        chosen = [int(x.logits.argmax()) for x in together]
        assert together[1].gates == {}
        if memory:
            assert {i: x.shape for i, x in together[0].gates.items()} == {1: (1, 1), 2: (1, 1)}
    for x in (*sequences, *singles):
        x.context.close()


def test_slots_are_given_back(model):
    """A closed context's memory serves the next; so does one that was only dropped; with the last all of it goes."""
    first = [Sequence(model, True) for _ in range(3)]
    n_bytes = model.backend.state_bytes
    assert n_bytes == 4 * 2 * 4 * 2 * 16 * CONTEXT  # slots for four, keys and values of two heads
    first[0].context.close()
    second = Sequence(model, True)
    del first[1]
    gc.collect()
    third = Sequence(model, True)
    assert model.backend.state_bytes == n_bytes
    for x in (*first, second, third):
        x.context.close()
        x.context.close()
    assert model.backend.state_bytes == 0
    model.backend.forward([Sequence(model, True).work([1, 2])])


def test_misuse_is_refused_and_changes_nothing(model):
    a, off = Sequence(model, True), Sequence(model, False)
    model.backend.forward([a.work([1, 2, 3])])
    rows = Given(model, a.tokens, np.array([4]))

    def refused(match, *works, error=UsageError):
        with pytest.raises(error, match=match):
            model.backend.forward(list(works))
        assert (a.context.length, off.context.length) == (3, 0)

    good = Work(off.context, np.array([1]), None)
    refused("made without memory", good, Work(off.context, np.array([1]), rows))
    refused("made with memory", good, Work(a.context, np.array([1]), None))
    refused("0 tokens in one forward, it takes 1 to 128", good, Work(a.context, np.zeros(0, np.int64), rows))
    refused("129 tokens in one forward", good, Work(off.context, np.zeros(129, np.int64), None))
    many = Work(a.context, np.zeros(CONTEXT - 2, np.int64), rows)
    refused(f"3 . {CONTEXT - 2} tokens do not fit into the context of {CONTEXT}", many, error=ContextOverflowError)
    refused("stands twice", good, good)
    with pytest.raises(UsageError, match="cannot rewind to 4, the context holds 3 tokens"):
        a.context.rewind(4)
    closed = Sequence(model, False)
    closed.context.close()
    refused("the session is closed; start a new one", good, Work(closed.context, np.array([1]), None))
    with pytest.raises(UsageError, match="the session is closed"):
        closed.context.rewind(0)


def test_a_closed_model_closes_its_contexts(tiny_path):
    with engram_local.load(tiny_path, threads=1) as model:
        backend, x = model.backend, Sequence(model, False)
        work = x.work([1])
    with pytest.raises(UsageError, match="the session is closed"):
        backend.forward([work])
    with pytest.raises(UsageError, match="the model is closed"):
        backend.context(False)
    x.context.close()
    backend.close()


def test_a_fault_in_a_batch_leaves_all_as_they_were(model):
    class Broken:
        def wait(self, layer_id):
            raise RuntimeError("no disk")

    a, b = Sequence(model, True), Sequence(model, False)
    with pytest.raises(RuntimeError, match="no disk"):
        model.backend.forward([b.work([1, 2]), Work(a.context, np.array([5]), Broken())])
    assert (a.context.length, b.context.length) == (0, 0)
    b.tokens = b.tokens[:0]
    for x, output in zip((a, b), model.backend.forward([a.work([5]), b.work([5])]), strict=True):
        np.testing.assert_allclose(output.logits, x.alone(1), **EXACT)
