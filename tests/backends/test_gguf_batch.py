"""Several sequences in one step of the GGUF backend: a batch is its members alone, and nobody disturbs anybody."""

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
from tiny_gguf import VOCAB, make_tiny_gguf
from tiny_hybrids import make_tiny_hybrid

import engram_local
from engram_local.backends import gguf
from engram_local.backends.base import Work
from engram_local.model_folder import ModelFolder

EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}
N_MEMBERS = 5


@pytest.fixture(scope="module", params=["llama", "lfm2", "qwen35"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "model"
    make_tiny_gguf(path) if request.param == "llama" else make_tiny_hybrid(path, request.param)
    with engram_local.load(path, **EXACT) as model:
        yield model


class Rows:
    """A sequence's rows: random, and a function of position alone."""

    def __init__(self, model, begin: int, end: int):
        self.slice, self.layers = slice(begin, end), {x.layer_id: x.row_width for x in model.backend.layers}

    def wait(self, layer_id: int) -> np.ndarray:
        rng = np.random.default_rng(layer_id)
        return rng.standard_normal((200, self.layers[layer_id]), np.float32)[self.slice]


class Member:
    """One sequence: what it was told, in the cuts in which it was told."""

    def __init__(self, model, memory: bool, seed: int):
        self.model, self.memory = model, memory
        self.context = model.backend.context(memory)
        self.ids = np.random.default_rng(seed).integers(4, VOCAB - 2, 200)
        self.cuts: list[int] = [0]  # lengths after each step, as a sequence that never went back would have them

    def work(self, n: int, logits="all") -> Work:
        begin = self.context.length
        rows = Rows(self.model, begin, begin + n) if self.memory else None
        self.cuts.append(begin + n)
        return Work(self.context, self.ids[begin : begin + n], rows, logits)

    def rewind(self, length: int) -> None:
        kept = self.context.rewind(length)
        self.cuts = [x for x in self.cuts if x < kept] + [kept]
        assert kept <= length

    def alone(self, logits="all") -> np.ndarray:
        """Logits of the last step, of a fresh sequence with the same cuts."""
        fresh = Member(self.model, self.memory, 0)
        fresh.ids = self.ids
        for n in np.diff(self.cuts):
            last = self.model.backend.forward([fresh.work(n, logits)])[0].logits
        fresh.context.close()
        return last


def step(model, works: dict) -> None:
    """Evaluate {member: tokens} as one batch, and compare each with itself alone."""
    outputs = model.backend.forward([member.work(n) for member, n in works.items()])
    for (member, n), output in zip(works.items(), outputs, strict=True):
        assert output.logits.shape == (n, VOCAB)
        assert np.abs(output.logits - member.alone()).max() < 1e-5


def test_a_batch_equals_its_members_alone(model):
    members = [Member(model, bool(i % 2), i) for i in range(N_MEMBERS)]
    a, b, c, d, e = members
    step(model, dict.fromkeys(members, 7))
    step(model, {a: 1, b: 1, c: 9, d: 9, e: 30})
    for _ in range(3):
        step(model, dict.fromkeys(members, 1))
    b.rewind(9)
    e.rewind(5)
    step(model, dict(zip(members, (1, 4, 1, 4, 1), strict=True)))
    c.context.close()
    step(model, {e: 1, a: 1, d: 1})
    f = Member(model, True, 17)
    step(model, {f: 3, e: 3, a: 1})
    step(model, dict.fromkeys((f, d, b, a, e), 1))
    for member in (*members, f):
        member.context.close()


def test_random_companies(model):
    """Lengths, memory, rewinds and departures drawn at random, from a fixed seed."""
    rng = np.random.default_rng(5)
    members: list[Member] = []
    for turn in range(25):
        if len(members) < N_MEMBERS and rng.random() < 0.4:
            members.append(Member(model, bool(rng.integers(2)), turn))
        if members and rng.random() < 0.3:
            member = members[rng.integers(len(members))]
            member.rewind(int(rng.integers(0, member.context.length + 1)))
        if len(members) > 2 and rng.random() < 0.2:
            members.pop(rng.integers(len(members))).context.close()
        chosen = [x for x in members if rng.random() < 0.7]
        step(model, {x: int(rng.choice([1, 1, 1, 2, 6])) for x in chosen})
    for member in members:
        member.context.close()


def test_gates_are_handed_out_where_they_are_asked_for(model):
    on, off, asked = Member(model, True, 1), Member(model, False, 2), Member(model, True, 3)
    works = [on.work(4), off.work(4), asked.work(4)._replace(gates=True)]
    first, second, third = model.backend.forward(works)
    assert first.gates is None
    assert second.gates is None
    assert sorted(third.gates) == [0, 2]
    for gate in third.gates.values():
        assert gate.shape == (4, 1)
        assert ((gate > 0) & (gate < 1)).all()
    alone = Member(model, True, 3)
    again = model.backend.forward([alone.work(4)._replace(gates=True)])[0].gates
    assert all(np.abs(again[i] - third.gates[i]).max() < 1e-5 for i in again)


def test_sequences_that_stay_together_are_moved_together(model):
    with engram_local.load(model.folder.path, **EXACT, n_sequences=6) as wide:
        members = [Member(wide, bool(i % 2), i) for i in range(6)]
        step(wide, {x: 4 + i for i, x in enumerate(members)})
        a, b, c, d, e, f = members
        f.context.close()
        for _ in range(3):
            wide.backend.forward([x.work(1) for x in (a, c, e)])
        ids = sorted(x.context._sequence.id for x in (a, c, e))
        assert ids == list(range(ids[0], ids[0] + 3))
        step(wide, dict.fromkeys((a, c, e), 1))
        step(wide, dict.fromkeys((b, d), 1))
        b.rewind(3)
        step(wide, dict.fromkeys((e, d, c, b, a), 2))


@pytest.mark.parametrize("leaves", ["closed", "rewound"])
def test_a_move_into_an_empty_place_leaves_an_empty_place(model, leaves):
    with engram_local.load(model.folder.path, **EXACT, n_sequences=6) as wide:
        members = [Member(wide, bool(i % 2), i) for i in range(6)]
        step(wide, {x: 4 + i for i, x in enumerate(members)})
        a, b, c, d, e, f = members
        for x in (b, d, f):
            x.rewind(0)
            if leaves == "closed":
                x.context.close()
        for _ in range(2):
            wide.backend.forward([x.work(1) for x in (a, c, e)])
        ids = sorted(x.context._sequence.id for x in (a, c, e))
        assert ids == list(range(ids[0], ids[0] + 3))
        again = (b, d, f) if leaves == "rewound" else tuple(Member(wide, bool(i % 2), i) for i in (7, 8, 9))
        step(wide, {x: 3 + i for i, x in enumerate(again)})
        step(wide, dict.fromkeys((*again, a, c, e), 1))


def test_one_context_for_sequences_that_are_announced(tmp_path):
    folder = ModelFolder.open(make_tiny_gguf(tmp_path / "model"))
    backend = gguf.GgufBackend(folder, threads=1, context_length=256, n_sequences=4)
    contexts = [backend.context(False) for _ in range(5)]
    backend.forward([Work(x, np.arange(4, 9), None) for x in contexts[:4]])
    assert [x.llama.n_sequences for x in backend._pools] == [4]
    backend.forward([Work(contexts[4], np.arange(4, 9), None)])
    assert [x.llama.n_sequences for x in backend._pools] == [4, 4]
    backend.close()
