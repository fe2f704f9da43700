"""What a runtime allocated goes into large pages, and nothing else changes."""

import mmap

import numpy as np
import pytest

import engram_local
from engram_local.backends import large_pages
from engram_local.backends.large_pages import _allocated, _joined, _outside, collapse

try:
    SIZE = int(large_pages.PAGE_SIZE.read_text())
except OSError:
    pytest.skip("this system has no large pages", allow_module_level=True)


@pytest.fixture
def small(monkeypatch):
    """Models of any size are worth it, and pages in spans are counted."""
    moved = []

    def spy(spans):
        moved.append(collapse(spans))
        return moved[-1]

    monkeypatch.setattr(large_pages, "WORTH_MOVING", 0)
    monkeypatch.setattr(large_pages, "collapse", spy)
    return moved


@pytest.fixture
def memory():
    """Anonymous memory of 4 large pages and a span of it, aligned."""
    area = mmap.mmap(-1, 5 * SIZE, flags=mmap.MAP_PRIVATE)
    array = np.frombuffer(area, np.uint8)
    skip = -array.ctypes.data % SIZE
    yield array[skip : skip + 4 * SIZE]


def _smaps(array):
    """Bytes (in memory, in large pages) of the mapping that an array lies in."""
    sizes, inside = {}, False
    with open("/proc/self/smaps") as file:
        for line in file:
            first, *rest = line.split()
            if "-" in first and not first.endswith(":"):
                begin, end = (int(x, 16) for x in first.split("-"))
                inside = begin <= array.ctypes.data < end
            elif inside and first in ("Rss:", "AnonHugePages:"):
                sizes[first] = 1024 * int(rest[0])
    return sizes["Rss:"], sizes["AnonHugePages:"]


def test_what_is_in_memory_moves_and_stays_what_it_is(small, memory):
    expected = np.random.default_rng(0).integers(0, 256, 2 * SIZE, np.uint8)
    memory[: 2 * SIZE] = expected
    memory[2 * SIZE] = 1  # one small page of the third
    in_memory, _ = _smaps(memory)
    begin = memory.ctypes.data
    moved = collapse([(begin, begin + memory.nbytes)])
    if moved == 0:
        pytest.skip("this system spares no large page")
    assert moved == 2 * SIZE
    assert _smaps(memory) == (in_memory, 2 * SIZE)  # nothing was made that was not there
    np.testing.assert_array_equal(memory[: 2 * SIZE], expected)


def test_little_is_left_where_it_lies(memory):
    memory[:] = 1
    begin = memory.ctypes.data
    assert collapse([(begin, begin + memory.nbytes)]) == 0
    assert _smaps(memory)[1] == 0


def test_memory_that_is_gone_is_passed_over(small, memory):
    assert collapse([(1 << 46, (1 << 46) + 2 * SIZE)]) == 0


def test_allocated_meanwhile(monkeypatch):
    assert _outside((10, 20), [(0, 12), (14, 16), (19, 30)]) == [(12, 14), (16, 19)]
    assert _outside((10, 20), [(5, 25)]) == []
    assert _outside((10, 20), [(0, 10), (20, 30)]) == [(10, 20)]
    assert _joined([0, 2, 4, 8, 10], 2) == [(0, 6), (8, 12)]
    monkeypatch.setattr(large_pages, "STRETCH", 4)
    assert _joined([0, 2, 4, 8, 10], 2) == [(0, 4), (4, 6), (8, 12)]
    before = _allocated()
    array = np.frombuffer(mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE), np.uint8)
    new = [x for span in _allocated() for x in _outside(span, before)]
    assert any(a <= array.ctypes.data and array.ctypes.data + array.nbytes <= b for a, b in new)


@pytest.mark.parametrize("n_bytes", [1, 7 << 20, 8 << 20, 1 << 30])
def test_small_weights_stay_where_they_are(n_bytes, monkeypatch):
    """Even as float32 they are not worth moving."""
    asked = []
    monkeypatch.setattr(large_pages, "collapse", asked.append)
    with large_pages.large_pages(n_bytes):
        pass
    assert len(asked) == (n_bytes >= 8 << 20)


@pytest.mark.parametrize("backend", ["onnx", "gguf"])
def test_a_model_computes_the_same_bits(backend, small, monkeypatch):
    if backend == "gguf":
        pytest.importorskip("llama_cpp")

    def logits():
        with engram_local.load(backend=backend) as model:
            return model.session().forward([5, 6, 7])

    found = logits()
    assert small  # it was asked for
    monkeypatch.setattr(large_pages, "collapse", lambda spans: 0)
    np.testing.assert_array_equal(found, logits())
