"""Blocks on a GPU: wherever llama.cpp computes them, the Engram layers enter as they do on the CPU.

Runs where llama.cpp was built for a GPU (for CUDA: CMAKE_ARGS=-DGGML_CUDA=on pip install llama-cpp-python).
"""

import numpy as np
import pytest
from tiny_gguf import BLOCKS, VOCAB, make_tiny_gguf

import engram_local

llama_cpp = pytest.importorskip("llama_cpp")
if not llama_cpp.llama_supports_gpu_offload():
    pytest.skip("llama.cpp was built for no GPU", allow_module_level=True)

QUESTION = "What is the capital of France?"
EXACT = {"backend": "gguf", "threads": 1, "kv_type": "float32", "flash_attention": "off"}
# llama.cpp multiplies 8-bit weights by inputs rounded in other ways on a GPU: 0.29 apart in logits without memory.
TOLERANCE = 0.4


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A float32 GGUF with Engram layers before blocks 0 and 2 of 3."""
    return make_tiny_gguf(tmp_path_factory.mktemp("gpu") / "model")


@pytest.mark.parametrize("n_gpu_layers", [*range(1, BLOCKS + 1), 99])
def test_float32_logits_are_those_of_the_cpu(tiny, n_gpu_layers):
    ids = np.random.default_rng(0).integers(0, VOCAB - 2, 40)
    with engram_local.load(tiny, **EXACT) as cpu, engram_local.load(tiny, **EXACT, n_gpu_layers=n_gpu_layers) as gpu:
        for memory in (True, False):
            expected = cpu.session(memory=memory).forward(ids, "all")
            session = gpu.session(memory=memory)
            assert np.abs(session.forward(ids, "all") - expected).max() < 0.01 * np.abs(expected).max()
            session.rewind(7)
            decoded = np.concatenate([session.forward([t]) for t in ids[7:]])
            assert np.abs(decoded - expected[7:]).max() < 0.01 * np.abs(expected).max()


@pytest.fixture(scope="module")
def pocket():
    with engram_local.load(**EXACT, n_gpu_layers=0) as model:
        yield model


# The pocket model's Engram layers stand before blocks 1 and 2 of 4; 99 takes the output layer along.
@pytest.fixture(scope="module", params=[1, 2, 3, 4, 99])
def pocket_on_gpu(request):
    with engram_local.load(**EXACT, n_gpu_layers=request.param) as model:
        yield model


def test_pocket_logits_are_those_of_the_cpu(pocket, pocket_on_gpu):
    ids = pocket.prompt_ids(QUESTION)
    expected = {memory: pocket.session(memory=memory).forward(ids, "all") for memory in (True, False)}
    errors = {m: np.abs(pocket_on_gpu.session(memory=m).forward(ids, "all") - expected[m]).max() for m in (True, False)}
    assert max(errors.values()) < TOLERANCE
    assert errors[True] < errors[False] + 0.1  # the memory adds next to nothing to what llama.cpp differs by
    assert np.abs(expected[True] - expected[False]).max() > 10 * TOLERANCE


def test_pocket_answers_as_on_the_cpu(pocket, pocket_on_gpu):
    for question in (QUESTION, "What is the capital of Japan?", "Who are you?"):
        answers = {"".join(m.generate(question, temperature=0, max_tokens=40)) for m in (pocket, pocket_on_gpu)}
        assert len(answers) == 1


def test_default_settings_answer():
    """A float16 cache, and flash attention where llama.cpp likes it."""
    with engram_local.load(backend="gguf", n_gpu_layers=99) as model:
        assert "Paris" in "".join(model.generate(QUESTION, temperature=0, max_tokens=20))
