"""Where attention's window ends and where longrope changes its frequencies: on both backends as in transformers."""

import numpy as np
import pytest
from parity.adapters import FAMILIES, make_adapter, prompts, reference_logits
from parity.tiny_bases import VOCAB

import engram_local
from engram_local.commands.inspection import describe
from engram_local.errors import ContextOverflowError
from engram_local.model_folder import ModelFolder
from engram_local.tools.export import export_model

WINDOW, ORIGINAL = 16, 256
WINDOWED = {
    "onnx": {
        "mistral": {"sliding_window": WINDOW},
        "phi3": {"sliding_window": WINDOW},
        "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
        "gemma3": {},
    },
    "gguf": {"gemma3": {}},
}
EXACT = {"onnx": {"threads": 1}, "gguf": {"threads": 1, "kv_type": "float32"}}


def load(tmp_path, family, backend, **base_options):
    if backend == "gguf":
        pytest.importorskip("llama_cpp")
    base, adapter = make_adapter(tmp_path, family, base_options=base_options)
    export_model(adapter, tmp_path / "model", base=base, backend=backend, tables="float32", weights="float32")
    return base, adapter, engram_local.load(tmp_path / "model", **EXACT[backend])


@pytest.mark.parametrize(("backend", "family"), [(x, y) for x, families in WINDOWED.items() for y in families])
def test_windows(tmp_path, backend, family):
    """Prompts that end at, before and behind the border, and the token that is decoded behind them."""
    base, adapter, model = load(tmp_path, family, backend, **WINDOWED[backend][family])
    ids = prompts(1, 2 * WINDOW + 2)[0]
    expected = reference_logits(base, adapter, ids)
    bound = (2e-4 if backend == "onnx" else 5e-3) * max(1, expected.std())
    with model:
        for n in (WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW - 1, 2 * WINDOW, 2 * WINDOW + 1):
            session = model.session()
            assert np.abs(session.forward(ids[:n])[0] - expected[n - 1]).max() < bound, n
            assert np.abs(session.forward(ids[n : n + 1])[0] - expected[n]).max() < bound, n
            session.close()


def test_longrope_ends_at_its_original_length_in_onnx(tmp_path):
    """Up to there it is exact; beyond, transformers would turn every earlier key anew. inspect says where it ends."""
    base, adapter, model = load(tmp_path, "phi3-longrope", "onnx")
    make, fields = FAMILIES["phi3-longrope"]
    assert make(**fields).max_position_embeddings > ORIGINAL
    ids = np.random.default_rng(0).integers(6, VOCAB, ORIGINAL + 1)
    with model:
        for n in (ORIGINAL - 1, ORIGINAL):
            expected = reference_logits(base, adapter, ids[:n])
            session = model.session()
            found = session.forward(ids[:n], "all")
            assert np.abs(found - expected).max() < 2e-4 * max(1, expected.std())
            session.close()
        with pytest.raises(
            ContextOverflowError, match=f"{ORIGINAL + 1} tokens do not fit into the context of {ORIGINAL}"
        ):
            model.session().forward(ids)
    about = describe(ModelFolder.open(tmp_path / "model"))
    assert about["context_length"] == ORIGINAL
    assert (
        about["context_ends"] == "at longrope's original length: backbone.onnx has the frequencies of short texts alone"
    )


def test_longrope_beyond_its_original_length_in_llama_cpp(tmp_path, monkeypatch):
    """However the context grows: the frequencies are those of a text that is longer than the original length."""
    monkeypatch.setattr("engram_local.backends.gguf.FIRST_CAPACITY", 64)
    base, adapter, model = load(tmp_path, "phi3-longrope", "gguf")
    ids = np.random.default_rng(0).integers(6, VOCAB, 2 * ORIGINAL)
    with model:
        for n in (ORIGINAL + 1, 2 * ORIGINAL):
            expected = reference_logits(base, adapter, ids[:n])
            session = model.session()
            parts = [session.forward(part, "all") for part in np.split(ids[:n], [1, 40, ORIGINAL - 1, ORIGINAL])]
            assert np.abs(np.concatenate(parts) - expected).max() < 5e-3 * max(1, expected.std())
            session.close()
    assert describe(ModelFolder.open(tmp_path / "model"))["context_ends"] is None
