"""Closing, dropping, forking and threads around the GGUF backend: words, never a crash, and memory given back."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
from stock_llama import FLOAT32_CACHE, stock_logits
from tiny_gguf import VOCAB, WIDTH, make_tiny_gguf

import engram_local
from engram_local.backends import open_backend
from engram_local.backends.base import Work
from engram_local.backends.gguf import GgufBackend
from engram_local.errors import EngramError, UsageError
from engram_local.model_folder import ModelFolder

IDS = np.random.default_rng(0).integers(4, VOCAB - 2, 60)
EXACT = {"kv_type": "float32", "flash_attention": "off", "threads": 1}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Not to be altered."""
    return make_tiny_gguf(tmp_path_factory.mktemp("gguf") / "model")


@pytest.fixture
def backend(path):
    backend = GgufBackend(ModelFolder.open(path), threads=1, context_length=256)
    yield backend
    backend.close()


class Rows:
    def wait(self, layer_id: int) -> np.ndarray:
        return np.zeros((5, WIDTH), np.float32)


# ---------------------------------------------------------------- misuse


def test_what_a_batch_may_not_be(backend):
    on, off = backend.context(True), backend.context(False)
    for works, match in (
        ([Work(off, IDS[:5], Rows())], "without memory"),
        ([Work(on, IDS[:5], None)], "with memory"),
        ([Work(off, IDS[:0], None)], "0 tokens in one forward, it takes 1 to 256"),
        ([Work(off, np.zeros(257, int), None)], "257 tokens in one forward"),
        ([Work(off, IDS[:5], None), Work(off, IDS[:5], None)], "twice in a batch"),
    ):
        with pytest.raises(UsageError, match=match):
            backend.forward(works)
        assert on.length == off.length == 0
    assert backend.forward([]) == []


def test_options_that_are_not_there(path, tiny_path):
    folder = ModelFolder.open(path)
    for options, match in (
        ({"kv_type": "x"}, "kv_type is 'x'; choose one of float32, float16"),
        ({"flash_attention": "maybe"}, "flash_attention is 'maybe'; choose one of auto, off, on"),
        ({"spinning": True}, "spinning is an option of the onnx backend"),
        ({"n_gpu_layer": 1}, "no option 'n_gpu_layer'; the gguf backend takes n_gpu_layers, "),
    ):
        with pytest.raises(UsageError, match=match):
            open_backend("gguf", folder, threads=1, context_length=64, **options)
    with pytest.raises(UsageError, match="kv_type is an option of the gguf backend"):
        open_backend("onnx", ModelFolder.open(tiny_path), threads=1, context_length=64, kv_type="float32")


def test_every_method_of_what_was_closed(path):
    backend = GgufBackend(ModelFolder.open(path), threads=1, context_length=256)
    closed, left = backend.context(False), backend.context(False)
    backend.forward([Work(closed, IDS[:5], None), Work(left, IDS[:5], None)])
    closed.close()
    closed.close()
    for use in (lambda: closed.rewind(0), lambda: backend.forward([Work(closed, IDS[:5], None)])):
        with pytest.raises(UsageError, match="the session is closed; start a new one"):
            use()
    backend.close()
    backend.close()
    for use in (
        lambda: left.rewind(0),
        lambda: backend.forward([Work(left, IDS[:5], None)]),
        lambda: backend.context(True),
    ):
        with pytest.raises(UsageError, match="is closed"):
            use()
    left.close()


# ---------------------------------------------------------------- room


@pytest.mark.parametrize("n_sequences", [1, 3])
def test_a_sequence_alone_is_stock_llama_cpp(path, n_sequences):
    expected = stock_logits(path / "backbone.gguf", IDS, **FLOAT32_CACHE)
    with engram_local.load(path, **EXACT, n_sequences=n_sequences) as model:
        for _ in range(3):  # whichever id it has, and beside others
            assert np.array_equal(model.session(memory=False).forward(IDS, "all"), expected)
            model.session(memory=False).forward(IDS[:7])


def test_rooms_are_given_back(backend):
    contexts = [backend.context(False) for _ in range(6)]
    for context in contexts:
        backend.forward([Work(context, IDS[:5], None)])
    assert sum(x.llama.n_sequences for x in backend._pools) == 8
    first = contexts[0]
    for context in contexts[1:]:
        context.close()
    assert [x.llama.n_sequences for x in backend._pools] == [1]
    assert backend._native.contexts == [x.llama for x in backend._pools]
    assert np.array_equal(
        backend.forward([Work(first, IDS[5:9], None)])[0].logits[0].argmax(),
        stock_logits(backend.path, IDS[:9])[-1].argmax(),
    )


def test_models_that_are_dropped_give_their_memory_back(path):
    """Each of them holds several megabytes."""
    script = """
import sys, engram_local
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
def use():
    model = engram_local.load(sys.argv[1], threads=1)
    session = model.session()
    session.forward([5, 6, 7])
for i in range(24):
    use()
    if i == 3: before = resident()
print((resident() - before) / 20)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 500_000


# ---------------------------------------------------------------- threads and processes


def test_threads_take_turns(path):
    with engram_local.load(path, **EXACT) as model:
        alone = [model.session(bool(i % 2)).forward(np.roll(IDS, i), "all") for i in range(4)]
        wrong = []

        def work(i: int) -> None:
            for _ in range(5):
                session = model.session(bool(i % 2))
                logits = np.concatenate([session.forward(x, "all") for x in np.split(np.roll(IDS, i), [20, 21, 22])])
                if np.abs(logits - alone[i]).max() > 2e-5:
                    wrong.append(i)
                session.close()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


def test_close_while_another_thread_generates(path):
    for _ in range(10):
        model = engram_local.load(path, threads=1)
        session, errors, started = model.session(), [], threading.Event()

        def generate(session=session, errors=errors, started=started) -> None:
            try:
                while True:
                    session.forward([5])
                    session.rewind(0)
                    started.set()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=generate)
        thread.start()
        assert started.wait(20)
        model.backend.close()
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(errors[0], UsageError), errors
        model.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_is_told_so(path):
    script = """
import os, sys, engram_local, numpy as np
from engram_local.backends.base import Work
model = engram_local.load(sys.argv[1], threads=2)
context = model.backend.context(False)
work = Work(context, np.array([5, 6, 7]), None)
model.backend.forward([work])
child = os.fork()
if child == 0:
    for attempt in (lambda: model.backend.forward([work]), lambda: engram_local.load(sys.argv[1], threads=2)):
        try:
            attempt()
        except engram_local.EngramError as error:
            print(error, flush=True)
    os._exit(0)  # ONNX Runtime hangs in exit() of any forked process
assert os.waitpid(child, 0)[1] == 0
model.backend.forward([work])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "loaded before fork()" in done.stdout and "computed before fork()" in done.stdout


def test_a_step_that_fails_frees_the_lock(backend):
    class Broken:
        def wait(self, layer_id: int) -> np.ndarray:
            raise EngramError("the disk failed")

    on, off = backend.context(True), backend.context(False)
    with pytest.raises(EngramError, match="the disk failed"):
        backend.forward([Work(off, IDS[:5], None), Work(on, IDS[:5], Broken())])
    assert on.length == off.length == 0
    assert backend.forward([Work(off, IDS[:5], None)])[0].logits.shape == (1, VOCAB)
