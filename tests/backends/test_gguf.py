"""The GGUF backend on a tiny model: chunks, rewinds, sessions side by side, and files that do not belong together."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

pytest.importorskip("llama_cpp")
from onnx import helper, numpy_helper
from stock_llama import FLOAT32_CACHE, stock_logits
from tiny_gguf import (
    CONTEXT,
    HIDDEN,
    TEMPLATE,
    VOCAB,
    WIDTH,
    layer_graph,
    make_tiny_gguf,
    write_gguf,
)

import engram_local
from engram_local.backends import gguf, llama_library, llama_nodes
from engram_local.backends.base import Work
from engram_local.errors import BackendError, ContextOverflowError, EngramError, UsageError
from engram_local.model_folder import write_manifest

EXACT = {"kv_type": "float32", "flash_attention": "off"}
IDS = np.random.default_rng(0).integers(4, VOCAB - 2, 60)


def load(path, **options):
    return engram_local.load(path, threads=1, **options)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Not to be altered."""
    return make_tiny_gguf(tmp_path_factory.mktemp("gguf") / "model")


@pytest.fixture(scope="module")
def model(path):
    with load(path, **EXACT) as model:
        yield model


@pytest.fixture
def copy(tmp_path):
    """A folder that a test may damage."""
    return make_tiny_gguf(tmp_path / "model")


def test_auto_picks_what_the_folder_holds(model):
    assert model.backend.name == "gguf"
    assert model.backend.architecture == "llama"


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_off_is_stock_llama_cpp_bit_for_bit(path, threads):
    with engram_local.load(path, threads=threads, flash_attention="off") as model:
        ours = model.session(memory=False).forward(IDS, "all")
    stock = stock_logits(path / "backbone.gguf", IDS, n_threads=threads, n_threads_batch=threads)
    assert np.array_equal(ours, stock)


def test_memory_changes_the_answer(model):
    on, off = (model.session(memory).forward(IDS, "all") for memory in (True, False))
    assert np.abs(on - off).max() > 0.1


def test_what_a_layer_adds_before_block_0_is_what_the_blocks_compute_with(tmp_path):
    """The same logits come of a layer that adds to the embedding, and of stock llama.cpp with that sum as embedding."""
    folder = make_tiny_gguf(tmp_path / "model", layer_ids=(0,))
    add = np.float32(0.5)
    graph = onnx.load(folder / "engram_layer_0.onnx").graph
    nodes = [
        helper.make_node("Add", ["hidden", "half"], ["hidden_out"]),
        helper.make_node("Identity", ["hidden"], ["present_engram_conv_0"]),
        helper.make_node("Identity", ["engram_rows_0"], ["unused"]),
    ]
    half = numpy_helper.from_array(np.array([add]), "half")
    changed = helper.make_graph(nodes, "add", list(graph.input)[:3], list(graph.output)[:2], [half])
    onnx.save(
        helper.make_model(changed, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        folder / "engram_layer_0.onnx",
    )
    write_manifest(folder)
    write_gguf(tmp_path / "changed.gguf", add_to_embedding=np.full((VOCAB, HIDDEN), add))
    with load(folder, **EXACT) as model:
        ours = model.session().forward(IDS, "all")
    expected = stock_logits(tmp_path / "changed.gguf", IDS, **FLOAT32_CACHE)
    assert np.array_equal(ours, expected)


def test_a_layer_that_adds_nothing_changes_no_bit(copy):
    for i in (0, 2):
        graph = layer_graph(i, np.random.default_rng(0))
        zero = numpy_helper.from_array(np.zeros((WIDTH, HIDDEN), np.float32), "rows_to_hidden")
        next(x for x in graph.graph.initializer if x.name == "rows_to_hidden").CopyFrom(zero)
        onnx.save(graph, copy / f"engram_layer_{i}.onnx")
    write_manifest(copy)
    with load(copy) as model:
        on, off = (model.session(memory).forward(IDS, "all") for memory in (True, False))
    assert np.array_equal(on, off)


@pytest.mark.parametrize("cuts", [[1], [30], [7, 8, 9, 40], list(range(1, 60))], ids=["1", "30", "uneven", "decode"])
def test_chunks_equal_the_whole(model, cuts):
    whole = model.session().forward(IDS, "all")
    session = model.session()
    parts = [session.forward(part, "all") for part in np.split(IDS, cuts)]
    assert np.abs(np.concatenate(parts) - whole).max() < 2e-5
    assert np.abs(model.session().forward(IDS[:30]) - whole[29]).max() < 2e-5


def test_long_prompts_go_through_in_chunks(path, monkeypatch):
    monkeypatch.setattr(gguf, "MAX_CHUNK", 16)
    with load(path, **EXACT) as model:
        assert model.backend.max_chunk == 16
        chunked = model.session().forward(IDS, "all")
        assert model.session().forward(IDS, "none") is None
    monkeypatch.undo()
    with load(path, **EXACT) as model:
        assert np.abs(model.session().forward(IDS, "all") - chunked).max() < 2e-5


@pytest.mark.parametrize("memory", [True, False])
def test_rewind_is_exact(model, memory):
    session = model.session(memory)
    session.forward(IDS[:40])
    session.rewind(20)
    again = session.forward(IDS[20:45], "all")
    fresh = model.session(memory)
    fresh.forward(IDS[:20])
    assert np.array_equal(again, fresh.forward(IDS[20:45], "all"))
    session.rewind(0)
    assert np.array_equal(session.forward(IDS[:20], "all"), model.session(memory).forward(IDS[:20], "all"))


def test_rewind_to_another_continuation(model):
    session, other = model.session(), np.roll(IDS, 5)
    session.forward(IDS[:40])
    session.rewind(11)
    got = session.forward(other[:20], "all")
    fresh = model.session()
    fresh.forward(IDS[:11])
    assert np.array_equal(got, fresh.forward(other[:20], "all"))


def test_a_growing_cache_keeps_what_it_holds(path, monkeypatch):
    monkeypatch.setattr(gguf, "FIRST_CAPACITY", 8)
    with load(path, **EXACT) as model:
        session = model.session()
        parts = [session.forward(part, "all") for part in np.split(IDS, [5, 12, 13, 50])]
        monkeypatch.undo()
        whole = model.session().forward(IDS, "all")
        assert np.abs(np.concatenate(parts) - whole).max() < 2e-5


def test_interleaved_sessions_do_not_disturb_each_other(model):
    texts = [IDS, IDS[::-1].copy(), np.roll(IDS, 9)]
    alone = []
    for ids, memory in zip(texts, (True, True, False), strict=True):
        session = model.session(memory)
        alone.append([session.forward(ids[:20], "all"), *(session.forward([t]) for t in ids[20:30])])
    sessions = [model.session(memory) for memory in (True, True, False)]
    together = [[s.forward(ids[:20], "all")] for s, ids in zip(sessions, texts, strict=True)]
    for i in range(20, 30):
        for part, session, ids in zip(together, sessions, texts, strict=True):
            part.append(session.forward([ids[i]]))
    for a, b in zip(alone, together, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_context_ends_where_the_model_or_the_user_says(path):
    with load(path, context_length=40) as model:
        assert model.context_length == 40
        session = model.session()
        session.forward(IDS[:40])
        with pytest.raises(ContextOverflowError, match="context of 40"):
            session.forward([5])
        session.rewind(39)
        assert session.forward([5]).shape == (1, VOCAB)
    with load(path) as model:
        assert model.context_length == CONTEXT


def test_a_failing_read_leaves_the_context_as_it_was(model):
    session = model.session()
    session.forward(IDS[:10])

    class Broken:
        def wait(self, layer_id):
            if layer_id == 2:
                raise EngramError("the disk failed")
            return np.zeros((5, WIDTH), np.float32)

    with pytest.raises(EngramError, match="the disk failed"):
        model.backend.forward([Work(session.context, IDS[10:15], Broken())])
    assert session.length == 10
    fresh = model.session()
    fresh.forward(IDS[:10])
    assert np.array_equal(session.forward(IDS[10:15], "all"), fresh.forward(IDS[10:15], "all"))


def test_a_closed_session_says_so(model):
    session = model.session()
    session.close()
    with pytest.raises(UsageError, match="is closed"):
        session.forward([5])


def test_the_ggufs_own_tokenizer_serves(copy):
    with load(copy) as model:
        text = "the cat\n\u00e9"
        own, prompt = model.tokenizer.encode(text), model.prompt_ids(text, raw=True)
    (copy / "tokenizer.json").unlink()
    write_manifest(copy)
    with load(copy) as model:
        assert model.tokenizer.encode(text) == own == prompt
        assert model.tokenizer.decode(own) == text
        assert model.prompt_ids("hi") == model.tokenizer.encode("<user>hi<bot>")
        assert model.tokenizer.template_source == TEMPLATE
        assert model.eos_ids == {1}  # the GGUF's; what the template writes behind an answer also begins one


# ---------------------------------------------------------------- files that do not belong together


def refused(path, match: str, **options) -> None:
    """Loading fails, or the first tokens do; in one line that names a file."""
    with pytest.raises(EngramError, match=match) as info, load(path, **options) as model:
        model.session().forward(IDS[:5])
    text = str(info.value)
    assert "\n" not in text
    assert str(path) in text


def test_a_file_that_is_no_gguf_is_refused(copy):
    (copy / "backbone.gguf").write_bytes(b"PK\x03\x04" + bytes(100))
    write_manifest(copy)
    refused(copy, "is not a GGUF file")


@pytest.mark.parametrize("keep", [6, 100, 5000, -40])
def test_a_truncated_gguf_is_refused(copy, keep):
    data = (copy / "backbone.gguf").read_bytes()
    (copy / "backbone.gguf").write_bytes(data[:keep])
    write_manifest(copy)
    refused(copy, r"llama.cpp cannot load it \((?!no reason)")


def test_an_unknown_architecture_is_refused(copy):
    write_gguf(copy / "backbone.gguf")
    data = (copy / "backbone.gguf").read_bytes().replace(b"llama", b"lhama")
    (copy / "backbone.gguf").write_bytes(data)
    write_manifest(copy)
    refused(copy, "unknown model architecture")


def test_a_graph_without_the_node_is_refused(copy, monkeypatch):
    monkeypatch.setattr(llama_nodes, "input_node", lambda architecture, layer_id: f"elsewhere-{layer_id}")
    refused(copy, "architecture 'llama' has no node 'elsewhere-0'")


def test_a_node_of_another_size_is_refused(copy, monkeypatch):
    monkeypatch.setattr(llama_nodes, "input_node", lambda architecture, layer_id: f"ffn_gate-{layer_id}")
    refused(copy, "node 'ffn_gate-0' .* holds 1280 bytes")


def test_a_layer_beyond_the_model_is_refused(copy):
    write_gguf(copy / "backbone.gguf", blocks=2)
    write_manifest(copy)
    refused(copy, "has 2 blocks, so no Engram layer 2")


def test_a_layer_of_another_width_is_refused(copy):
    write_gguf(copy / "backbone.gguf", hidden=64)
    write_manifest(copy)
    refused(copy, r"hidden has shape .*ask for \[batch, n, 64\]")


def test_a_layer_that_is_no_graph_is_refused(copy):
    (copy / "engram_layer_2.onnx").write_bytes(b"\x00\x01")
    write_manifest(copy)
    refused(copy, "engram_layer_2.onnx: ONNX Runtime cannot load it")


def test_a_tokenizer_of_another_model_is_refused(copy):
    import json

    core = json.loads((copy / "tokenizer.json").read_text())
    core["model"]["vocab"] |= {f"more{i}": VOCAB + i for i in range(30)}
    (copy / "tokenizer.json").write_text(json.dumps(core))
    write_manifest(copy)
    refused(copy, "use the model's own tokenizer.json")


def test_a_gguf_without_any_tokenizer_is_refused(copy):
    write_gguf(copy / "backbone.gguf", pieces=None)
    with load(rewritten(copy)) as model:  # tokenizer.json is enough
        assert model.session().forward(IDS[:3]).shape == (1, VOCAB)
    (copy / "tokenizer.json").unlink()
    refused(rewritten(copy), "holds no tokenizer")


def rewritten(path):
    write_manifest(path)
    return path


# ---------------------------------------------------------------- the library


def test_a_missing_function_says_which_release_has_it(monkeypatch):
    monkeypatch.setattr(llama_library, "GGML_FUNCTIONS", ("ggml_get_name", "ggml_of_tomorrow"))
    llama_library.ggml_functions.cache_clear()
    try:
        with pytest.raises(BackendError, match=r"exports no ggml_of_tomorrow; install llama-cpp-python>=0\.3"):
            llama_library.ggml_functions()
    finally:
        llama_library.ggml_functions.cache_clear()


@pytest.mark.parametrize(
    ("names", "match"),
    [("LLAMA_FUNCTIONS", "has no llama_of_old; install"), ("CONTEXT_FIELDS", "has no context parameter llama_of_old")],
)
def test_another_release_says_which_one_is_needed(monkeypatch, names, match):
    monkeypatch.setattr(llama_library, names, ("llama_of_old",))
    llama_library.llama.cache_clear()
    try:
        with pytest.raises(BackendError, match=match):
            llama_library.llama()
    finally:
        llama_library.llama.cache_clear()


def test_loading_is_quiet_unless_asked(path):
    script = (
        "import sys, engram_local\nwith engram_local.load(sys.argv[1], verbose=len(sys.argv) > 2) as m:\n m.session()"
    )
    for arguments, speaks in ([], False), (["verbose"], True):
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), *arguments], capture_output=True, text=True, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        assert ("special_eos_id" in done.stderr) == speaks, done.stderr  # what it warns of in this file
        assert done.stdout == ""


def test_layers_on_the_gpu_are_asked_for(path):
    """Without a GPU llama.cpp keeps the layers where they are; the option reaches it."""
    with load(path, n_gpu_layers=99) as model:
        assert model.session().forward(IDS[:5]).shape == (1, VOCAB)
