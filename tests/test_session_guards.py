"""What a session and a model refuse, in words and on both backends: what is closed, a second thread, a forked child,
and arguments that are none. Nothing is evaluated then."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tiny_gguf import make_tiny_gguf

import engram_local
from engram_local.errors import TokenRangeError, UsageError
from engram_local.session import forward_together


@pytest.fixture(scope="module")
def paths(tiny_path, tmp_path_factory):
    return {"onnx": tiny_path, "gguf": make_tiny_gguf(tmp_path_factory.mktemp("guards") / "model")}


@pytest.fixture(params=["onnx", "gguf"])
def path(request, paths):
    if request.param == "gguf":
        pytest.importorskip("llama_cpp")
    return paths[request.param]


@pytest.fixture
def model(path):
    with engram_local.load(path, threads=1) as model:
        yield model


SESSION_CALLS = {
    "forward": lambda s: s.forward([1]),
    "forward all": lambda s: s.forward([1, 2], "all"),
    "rewind": lambda s: s.rewind(0),
    "keep_prefix": lambda s: s.keep_prefix([1]),
    "read_ahead": lambda s: s.read_ahead([1]),
    "length": lambda s: s.length,
    "tokens": lambda s: s.tokens,
    "forward_together": lambda s: forward_together([(s, [1], "last")]),
}
MODEL_CALLS = {
    "session": lambda m: m.session(),
    "generate": lambda m: list(m.generate("w1", max_tokens=1)),
    "prompt_ids": lambda m: m.prompt_ids("w1"),
    "stats": lambda m: m.stats(),
    "tables": lambda m: m.tables,
    "backend": lambda m: m.backend,
    "n_tokens": lambda m: m.n_tokens,
}


@pytest.mark.parametrize("call", SESSION_CALLS.values(), ids=SESSION_CALLS)
def test_a_closed_session(model, call):
    session = model.session()
    session.forward([1, 2, 3])
    session.close()
    session.close()
    with pytest.raises(UsageError, match=r"^the session is closed; start a new one$"):
        call(session)
    model.session().forward([1])


@pytest.mark.parametrize("call", SESSION_CALLS.values(), ids=SESSION_CALLS)
def test_a_session_of_a_closed_model(path, call):
    model = engram_local.load(path, threads=1)
    session = model.session()
    session.forward([1, 2, 3])
    model.close()
    with pytest.raises(UsageError, match=r"^the model is closed; load it again$"):
        call(session)
    session.close()


@pytest.mark.parametrize("call", MODEL_CALLS.values(), ids=MODEL_CALLS)
def test_a_closed_model(path, call):
    model = engram_local.load(path, threads=1)
    model.close()
    model.close()
    with pytest.raises(UsageError, match=r"^the model is closed; load it again$"):
        call(model)


@pytest.mark.parametrize(
    ("tokens", "error"),
    [
        ([1.5], UsageError),
        ([1.0], UsageError),
        ([[1, 2], [3, 4]], UsageError),
        (7, UsageError),
        ("12", UsageError),
        (b"12", UsageError),
        ([True], UsageError),
        ([], UsageError),
        (None, UsageError),
        ([2**63], TokenRangeError),
        ([-1], TokenRangeError),
        (np.array([2**64 - 1], np.uint64), TokenRangeError),
    ],
)
def test_tokens_that_are_none(model, tokens, error):
    session = model.session()
    session.forward([1, 2])
    for call in (session.forward, lambda x: forward_together([(session, x, "last")])):
        with pytest.raises(error):
            call(tokens)
    assert session.length == 2


def test_numpys_numbers_are_welcome(model):
    with model.session() as a, model.session() as b:
        expected = a.forward([1, 2, 3], "all")
        for tokens in ([np.int32(1), 2, np.uint8(3)], np.array([1, 2, 3], np.uint16), (1, 2, 3)):
            np.testing.assert_allclose(b.forward(tokens, "all"), expected, rtol=0, atol=1e-5)
            b.rewind(np.int64(0))
        assert a.keep_prefix(np.array([1, 2], np.uint8)) == 2


@pytest.mark.parametrize("length", [1.5, 1.0, -1, 3, True, "1", None, [1], 2**70])
def test_lengths_that_are_none(model, length):
    session = model.session()
    session.forward([1, 2])
    with pytest.raises(UsageError):
        session.rewind(length)
    assert session.length == 2


@pytest.mark.parametrize("logits", ["x", None, True, "LAST", ["last"]])
def test_logits_that_are_none(model, logits):
    session = model.session()
    with pytest.raises(UsageError, match="choose one of last, all, none"):
        session.forward([1], logits)
    assert session.length == 0


@pytest.mark.parametrize("limit", ["64MiB", "67108864", 64 << 20, np.int64(64 << 20)])
def test_ram_limits_as_the_command_line_takes_them(tiny_path, limit):
    with engram_local.load(tiny_path, threads=1, ram_limit=limit) as model:
        assert model.tables[0].why == "656 B fit into the RAM limit of 64.0 MiB" or model.tables[0].access == "resident"


@pytest.mark.parametrize("options", [{"ram_limit": 1.5}, {"ram_limit": -1}, {"ram_limit": "lots"}, {"table_access": 7}])
def test_options_that_are_none(tiny_path, options):
    with pytest.raises(engram_local.EngramError):
        engram_local.load(tiny_path, threads=1, **options)


class Gate:
    """Holds a forward in its backend until it is opened."""

    def __init__(self, backend, monkeypatch):
        self.inside, self.open = threading.Event(), threading.Event()
        real = backend.forward

        def forward(batch):
            self.inside.set()
            assert self.open.wait(20)
            return real(batch)

        monkeypatch.setattr(backend, "forward", forward)


def run(call) -> tuple[threading.Thread, list]:
    result = []

    def work() -> None:
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, result


@pytest.mark.parametrize("call", SESSION_CALLS.values(), ids=SESSION_CALLS)
def test_a_second_thread_is_refused(model, monkeypatch, call):
    session = model.session()
    session.forward([1])
    gate = Gate(model.backend, monkeypatch)
    thread, result = run(lambda: session.forward([2, 3], "all"))
    assert gate.inside.wait(20)
    if call not in (SESSION_CALLS["length"], SESSION_CALLS["tokens"]):  # looking does no harm
        with pytest.raises(UsageError, match="another thread is using this session; give every thread a session"):
            call(session)
    gate.open.set()
    thread.join(20)
    assert result[0].shape[0] == 2 and session.length == 3
    session.forward([4])


@pytest.mark.parametrize("what", ["model", "session"])
def test_closing_waits_for_the_forward_of_another_thread(path, monkeypatch, what):
    model = engram_local.load(path, threads=1)
    session = model.session()
    gate = Gate(model.backend, monkeypatch)
    forward, result = run(lambda: session.forward([2, 3], "all"))
    assert gate.inside.wait(20)
    closing, closed = run(model.close if what == "model" else session.close)
    closing.join(0.1)
    assert closing.is_alive() and not closed
    gate.open.set()
    forward.join(20)
    closing.join(20)
    assert result[0].shape[0] == 2 and closed == [None]
    with pytest.raises(UsageError, match="is closed"):
        session.forward([1])
    model.close()


def test_closing_while_another_thread_generates(path):
    """The generation ends with one clear error, at whatever point it is."""
    for i in range(5):
        model = engram_local.load(path, threads=1)
        session = model.session()

        def generate(session=session) -> None:
            for t in range(60):
                session.forward([t % 30])

        thread, result = run(generate)
        time.sleep(0.003 * i)
        model.close()
        thread.join(20)
        assert result == [None] or (isinstance(result[0], UsageError) and "the model is closed" in str(result[0]))


def test_a_model_that_nobody_holds_is_closed(path):
    model = engram_local.load(path, threads=1)
    session, tables = model.session(), model.tables
    table = next(iter(tables.values()))
    del model
    session.forward([1])  # a session holds its model
    del session
    import gc

    gc.collect()
    with pytest.raises(UsageError, match="the table is closed"):
        table.gather([0])


PROGRAM = """
import os, sys, warnings
warnings.simplefilter("ignore")
import engram_local
from engram_local.errors import UsageError
model = engram_local.load(sys.argv[1], threads=2)
session = model.session()
session.forward(list(range(20)))
child = os.fork()
if not child:
    said = []
    for call in (lambda: session.forward([1]), lambda: session.forward([1, 2]), lambda: session.rewind(0),
                 model.session, lambda: session.length, model.stats, lambda: list(model.generate("w1"))):
        try:
            call()
        except UsageError as error:
            said.append(str(error))
    session.close()
    model.close()
    del session, model
    assert len(said) == 7 and len(set(said)) == 1, said
    assert said[0].startswith("the model was loaded before fork()"), said
    if sys.argv[2] == "onnx":  # the OpenMP that llama.cpp computes with hangs in every forked child
        with engram_local.load(sys.argv[1], threads=2) as own:
            own.session().forward([1, 2, 3])
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
session.forward([1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="its allocator may be locked at the fork")
def test_a_forked_child_is_told_and_ends(paths, path):
    name = next(x for x in paths if paths[x] == path)
    command = [sys.executable, "-c", PROGRAM, str(path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]


class OwnRows:
    """A row source whose rows are what `wait` gives."""

    max_tokens = 1000

    def __init__(self, wait):
        self.wait = wait

    def start(self, row_ids):
        self.n_tokens = {i: len(x) for i, x in row_ids.items()}
        return self


@pytest.mark.parametrize(
    "use",
    [
        lambda model, other: model.session(),
        lambda model, other: other.forward([1]),
        lambda model, other: forward_together([(other, [1], "last")]),
        lambda model, other: other.rewind(1),
    ],
    ids=["session", "forward", "forward_together", "rewind"],
)
@pytest.mark.parametrize("n_tokens", [1, 3])
def test_whoever_brings_rows_cannot_use_the_model_that_waits(model, use, n_tokens):
    other = model.session(memory=False)
    other.forward([1, 2])
    session = model.session(rows=OwnRows(lambda layer_id: use(model, other)))
    calls = (session.forward, lambda tokens: forward_together([(session, tokens, "last")]))
    for call in calls:
        with pytest.raises(UsageError, match="in the middle of a step"):
            call([3] * n_tokens)
    assert (session.length, other.length) == (0, 2)
    other.forward([3])  # and the step is over


@pytest.mark.parametrize("together", [False, True])
def test_rows_of_another_shape_are_refused(model, together):
    layer = model.config.layers[0]
    width = layer.row_width
    for rows in (
        None,
        "rows",
        [[0.0] * width] * 3,
        np.zeros((3, width), np.float64),
        np.zeros((3, width + 1), np.float32),
        np.zeros((1, width), np.float32),
        np.float32(0),
    ):
        session, off = model.session(rows=OwnRows(lambda _, rows=rows: rows)), model.session(memory=False)
        parts = [(session, [1, 2, 3], "last"), (off, [1, 2, 3], "last")]
        with pytest.raises(
            UsageError, match=rf"rows of layer {layer.layer_id} are .*give float32 \[3 or more, {width}\]"
        ):
            forward_together(parts) if together else session.forward([1, 2, 3])
        assert (session.length, off.length) == (0, 0)


def test_parts_that_are_none(model):
    session = model.session()
    for part in (None, 5, (session, [1]), (None, [1], "last"), session):
        with pytest.raises(UsageError, match="give \\(session, token_ids, logits\\)"):
            forward_together([part])
    (found,) = forward_together(zip([session], [[1, 2]], ["all"], strict=True))
    assert found.shape == (2, model.backend.vocab_size) and session.length == 2
