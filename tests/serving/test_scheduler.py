"""One thread for all sequences: whoever comes and goes, each answer is what it would be alone."""

import threading
import time

import numpy as np
import pytest
from collected_choices import Collected
from tiny_gguf import make_tiny_gguf
from tiny_hybrids import make_tiny_hybrid

import engram_local
from engram_local.errors import TableError
from engram_local.generation import generate
from engram_local.serving.errors import ApiError
from engram_local.serving.scheduler import Observer, Scheduler
from engram_local.serving.slots import Slots


@pytest.fixture(params=["onnx resident", "onnx direct", "gguf resident", "gguf resident lfm2"])
def model(request, tiny_path, tmp_path_factory):
    backend, access, *recurrent = request.param.split()
    path, options = tiny_path, {}
    if backend == "gguf":
        pytest.importorskip("llama_cpp")
        path = tmp_path_factory.mktemp("gguf") / "model"
        path = make_tiny_hybrid(path, *recurrent) if recurrent else make_tiny_gguf(path)
        options = {"kv_type": "float32", "flash_attention": "off", "n_sequences": 4}
    with engram_local.load(path, threads=1, backend=backend, table_access=access, **options) as model:
        yield model


class Widest(Observer):
    """The most answers that one step went on with."""

    n = 0

    def stepped(self, n_tokens, n_prompt, seconds):
        self.n = max(self.n, n_tokens)


@pytest.fixture
def scheduler(model):
    scheduler = Scheduler(model, n_slots=4, queue_limit=1000, time_limit=100.0, observer=Widest())
    yield scheduler
    scheduler.close()


def goes_back_to_checkpoints_alone(model):
    """As recurrent backbones do; there are none in prompts as short as these."""
    return getattr(model.backend, "_is_recurrent", False)


def alone(model, prompt, limit, memory, **sampling):
    with model.session(memory) as session:
        return [x.token_id for x in generate(session, prompt, max_tokens=limit, **sampling)]


def test_a_batch_equals_each_alone_in_random_arrivals_and_departures(model, scheduler):
    rng = np.random.default_rng(3)
    beginnings = [rng.integers(2, model.n_tokens, n).tolist() for n in (5, 20, 40)]
    asked, left = [], []
    for _ in range(500 if model.tables.resident and model.backend.name == "onnx" else 60):
        prompt = [*beginnings[rng.integers(3)], *rng.integers(2, model.n_tokens, rng.integers(1, 30)).tolist()]
        memory, limit = bool(rng.random() < 0.7), int(rng.integers(1, 24))
        choice = Collected(model, prompt, limit, memory=memory)
        scheduler.submit([choice])
        if rng.random() < 0.2:
            left.append(choice)
        else:
            asked.append((choice, prompt, limit, memory))
        if left and rng.random() < 0.3:
            left.pop(0).cancel()
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.004)
    for choice in left:
        choice.cancel()
    n_reused = 0
    for choice, prompt, limit, memory in asked:
        assert [x.token_id for x in choice.wait()] == alone(model, prompt, limit, memory)
        n_reused += choice.n_reused
    assert n_reused > 0 or goes_back_to_checkpoints_alone(model), "no slot was a cache"
    assert scheduler._observer.n == 4, "they never ran together"
    end = time.monotonic() + 30
    while scheduler.n_running and time.monotonic() < end:
        time.sleep(0.01)
    assert (scheduler.n_running, scheduler.n_waiting, len(scheduler.slots.all)) == (0, 0, 4)


def test_the_longest_common_beginning_is_reused(model, scheduler):
    prompt = list(range(2, 32))
    first = Collected(model, prompt, 3)
    scheduler.submit([first])
    answer = [x.token_id for x in first.wait()]
    again, longer, other = (
        Collected(model, x, 3) for x in (prompt, [*prompt, *answer[:2], 7, 8], [40, 41, 42, *prompt])
    )
    reused = []
    for choice in (again, longer, other):
        scheduler.submit([choice])
        choice.wait()
        reused.append(choice.n_reused)
    assert reused == [0 if goes_back_to_checkpoints_alone(model) else 29, 32, 0]
    off = Collected(model, prompt, 3, memory=False)
    scheduler.submit([off])
    off.wait()
    assert off.n_reused == 0, "a context with memory is none without"


class Gate:
    """Holds the scheduler's thread at its next step."""

    def __init__(self, monkeypatch, scheduler):
        self.open, self.arrived = threading.Event(), threading.Event()
        real = scheduler._forward

        def forward(parts):
            self.arrived.set()
            assert self.open.wait(60)
            return real(parts)

        monkeypatch.setattr(scheduler, "_forward", forward)


def test_a_cancelled_choice_frees_its_slot_within_a_step(tiny, monkeypatch):
    scheduler = Scheduler(tiny, n_slots=1, queue_limit=10, time_limit=100.0)
    gate = Gate(monkeypatch, scheduler)
    endless, waiting, unwanted = (Collected(tiny, [3, i], 80, bias={1: -100.0}) for i in (4, 5, 6))
    scheduler.submit([endless])
    assert gate.arrived.wait(30)
    scheduler.submit([waiting, unwanted])
    endless.cancel()
    unwanted.cancel()
    gate.open.set()
    assert len(waiting.wait()) == 80
    scheduler.close()
    assert endless.n_generated == 1 and not endless.done.is_set()
    assert unwanted.items == []


def test_the_queue_has_a_bound_and_says_when_to_come_back(tiny, monkeypatch):
    scheduler = Scheduler(tiny, n_slots=1, queue_limit=2, time_limit=100.0)
    gate = Gate(monkeypatch, scheduler)
    choices = [Collected(tiny, [3, 4 + i], 2) for i in range(5)]
    scheduler.submit(choices[:1])
    assert gate.arrived.wait(30)
    scheduler.submit(choices[1:3])
    with pytest.raises(ApiError, match="2 answers wait already") as refused:
        scheduler.submit(choices[3:4])
    assert refused.value.status == 429 and 1 <= refused.value.retry_after <= 60
    with pytest.raises(ApiError, match="wait already"):
        scheduler.submit(choices[3:])
    gate.open.set()
    for choice in choices[:3]:
        choice.wait()
    scheduler.submit(choices[3:])
    for choice in choices[3:]:
        choice.wait()
    scheduler.close()


def test_time_limits_end_what_runs_and_what_waits(tiny, monkeypatch):
    scheduler = Scheduler(tiny, n_slots=1, queue_limit=2, time_limit=0.2)
    gate = Gate(monkeypatch, scheduler)
    running, waiting = (Collected(tiny, [3, i], 80, bias={1: -100.0}) for i in (4, 5))
    scheduler.submit([running, waiting])
    assert gate.arrived.wait(30)
    time.sleep(0.3)
    gate.open.set()
    pieces = running.wait()
    assert (len(pieces), pieces[-1].finish_reason) == (2, "length")
    with pytest.raises(ApiError, match="was not taken up within"):
        waiting.wait()
    scheduler.close()


def test_a_fault_of_one_is_not_the_others(tiny, monkeypatch):
    """A read that fails, in a batch of three: two go on as if nothing had been."""
    scheduler = Scheduler(tiny, n_slots=3, queue_limit=9, time_limit=100.0)
    real = scheduler._forward

    def forward(parts):
        if any(slot.choice.params.prompt[0] == 13 and slot.choice.n_generated == 3 for slot, _ in parts):
            raise TableError("layer_0.safetensors: a read failed")
        return real(parts)

    monkeypatch.setattr(scheduler, "_forward", forward)
    never = {1: -100.0}
    choices = [Collected(tiny, [first, 4], 30, bias=never) for first in (3, 13, 23)]
    scheduler.submit(choices)
    with pytest.raises(TableError, match="a read failed"):
        choices[1].wait()
    for i in (0, 2):
        assert len(choices[i].wait()) == 30
    twins = [Collected(tiny, [first, 4], 30, bias=never) for first in (3, 23)]
    for twin in twins:
        scheduler.submit([twin])
    for twin, choice in zip(twins, (choices[0], choices[2]), strict=True):
        assert [x.token_id for x in twin.wait()] == [x.token_id for x in choice.wait()]
    scheduler.close()


def test_closing_ends_all(tiny, monkeypatch):
    scheduler = Scheduler(tiny, n_slots=1, queue_limit=9, time_limit=100.0)
    gate = Gate(monkeypatch, scheduler)
    choices = [Collected(tiny, [3, 4], 50, bias={1: -100.0}) for _ in range(2)]
    scheduler.submit(choices)
    assert gate.arrived.wait(30)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    while not scheduler._closing:
        time.sleep(0.001)
    gate.open.set()
    closing.join(30)
    for choice in choices:
        with pytest.raises(ApiError, match="stopped"):
            choice.wait()
    with pytest.raises(ApiError, match="shutting down"):
        scheduler.submit(choices)


def test_gates_and_rows_of_every_token(pocket):
    scheduler = Scheduler(pocket, n_slots=2, queue_limit=9, time_limit=100.0)
    prompt = pocket.prompt_ids("What is the capital of France?")
    plain, told = Collected(pocket, prompt, 20), Collected(pocket, prompt, 20, gates=True)
    scheduler.submit([plain, told])
    answer = told.wait()
    assert [x.token_id for x in answer] == [x.token_id for x in plain.wait()]
    seen = [x for x in told.items[:-1] if x.in_prompt]
    assert [x.token_id for x in seen] == prompt
    whole = [*seen, *answer[:-1]]  # nothing reads the last one
    assert answer[-1].gates is None
    with pocket.session() as session:
        session.forward([x.token_id for x in whole], gates=True)
        for layer_id, opened in session.gates.items():
            np.testing.assert_allclose([x.gates[layer_id] for x in whole], opened, atol=0.02)
            rows = pocket.hasher.row_ids([x.token_id for x in whole], layer_id)
            assert [x.rows[layer_id] for x in whole] == rows.tolist()
    scheduler.close()


def test_scores_of_a_prompt(tiny):
    """In chunks, beside an answer that runs: log probabilities are those of the whole at once."""
    scheduler = Scheduler(tiny, n_slots=2, queue_limit=9, time_limit=100.0)
    scheduler._pace.most = 7
    prompt = np.random.default_rng(5).integers(2, tiny.n_tokens, 60).tolist()
    running = Collected(tiny, [3, 4], 80, bias={1: -100.0})
    scored = Collected(tiny, prompt, 0, score_prompt=True, n_top=2)
    scheduler.submit([running])
    scheduler.submit([scored])
    assert scored.wait() == []
    pieces = scored.items[:-1]
    assert [x.token_id for x in pieces] == prompt and pieces[0].log_probability is None
    with tiny.session() as session:
        logits = session.forward(prompt, "all")[:, : tiny.n_tokens].astype(np.float64)
    expected = logits - logits.max(-1, keepdims=True)
    expected -= np.log(np.exp(expected).sum(-1, keepdims=True))
    for i, piece in enumerate(pieces[1:]):
        assert piece.log_probability == pytest.approx(expected[i, prompt[i + 1]], abs=1e-4)
        assert piece.top[0][1] == pytest.approx(expected[i].max(), abs=1e-4)
    assert scored.figures().n_generated == 0
    running.wait()
    scheduler.close()


def test_a_slot_beside_those_in_use_is_taken(tiny):
    """Sequences that step together are neighbours in the backend's memory, or one of them is moved."""
    slots = Slots(tiny, 4)
    taken = []
    for i in range(4):
        slot = slots.take([i + 1] * 5, True, True)
        slot.choice = object()
        slot.session.forward([i + 1] * 5)
        taken.append(slot)
    assert sorted(x.session.context.place for x in taken) == [0, 1, 2, 3]
    for i in (0, 3, 1, 2):
        slots.release(taken[i])
    first = slots.take([9, 9], True, True)
    first.choice = object()
    second = slots.take([8, 8], True, True)  # 3 was idle for longer than 1
    assert [x.session.context.place for x in (first, second)] == [0, 1]
    slots.close()
