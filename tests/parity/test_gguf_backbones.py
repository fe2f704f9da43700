"""Exported GGUF backbones in stock llama-cpp-python against transformers."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from stock_llama import FLOAT32_CACHE, stock_logits

from engram_local.tools.export.gguf import write_backbone_gguf

pytest.importorskip("llama_cpp")
from parity.tiny_bases import CONFIGS, TEXT, VOCAB, make_base

# Largest error of a logit, in units of the logits' own spread. Rounding alone: float32 sums in another order. Gemma's
# GELU is a float16 table in llama.cpp.
EXACT = {"gemma3": 5e-4, "gemma4": 5e-4, "gemma4-shared": 5e-4}
# Root mean square error of most positions in the same units, and what most of the matrices are stored as. A rounded
# router chooses other experts at some positions of a mixture.
COARSE = {"float16": (0.01, "F16"), "q8_0": (0.1, "Q8_0"), "q4_k": (0.6, "Q4_K")}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """name -> (folder, model), each made once."""
    made: dict[str, tuple[Path, torch.nn.Module]] = {}

    def get(name: str) -> tuple[Path, torch.nn.Module]:
        if name not in made:
            folder = tmp_path_factory.mktemp(name) / "base"
            made[name] = folder, make_base(name, folder)
        return made[name]

    return get


def expected_logits(model: torch.nn.Module, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.tensor(ids)[None]).logits[0].numpy()


@pytest.mark.parametrize("name", CONFIGS)
def test_float32_computes_what_transformers_computes(bases, tmp_path, name):
    folder, model = bases(name)
    write_backbone_gguf(folder, tmp_path / "backbone.gguf", "float32")
    ids = np.random.default_rng(0).integers(6, VOCAB, 40)
    expected = expected_logits(model, ids)
    error = np.abs(stock_logits(tmp_path / "backbone.gguf", ids, **FLOAT32_CACHE) - expected).max() / expected.std()
    assert error < EXACT.get(name, 5e-5)


def test_longrope_changes_factors_behind_the_original_context(bases, tmp_path):
    folder, model = bases("phi3-longrope")
    write_backbone_gguf(folder, tmp_path / "backbone.gguf", "float32")
    ids = np.random.default_rng(1).integers(6, VOCAB, 300)
    expected = expected_logits(model, ids)
    assert np.abs(stock_logits(tmp_path / "backbone.gguf", ids, 512, **FLOAT32_CACHE) - expected).max() < 5e-4
    assert (
        np.abs(stock_logits(tmp_path / "backbone.gguf", ids[:200], 512, **FLOAT32_CACHE)[-1] - expected[199]).max()
        < 5e-4
    )


@pytest.mark.parametrize("weights", COARSE)
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "phi3", "qwen3moe"])
def test_smaller_weights_stay_near(bases, tmp_path, name, weights):
    folder, model = bases(name)
    path = tmp_path / "backbone.gguf"
    write_backbone_gguf(folder, path, weights)
    assert [x.name for x in tmp_path.iterdir()] == ["backbone.gguf"]
    bound, kind = COARSE[weights]
    kinds = [t.tensor_type.name for t in gguf.GGUFReader(path).tensors if len(t.shape) > 1]
    assert kinds.count(kind) > len(kinds) / 2
    ids = np.random.default_rng(0).integers(6, VOCAB, 40)
    expected = expected_logits(model, ids)
    errors = np.sqrt(np.square(stock_logits(path, ids, **FLOAT32_CACHE) - expected).mean(axis=1))
    assert np.quantile(errors, 0.2 if "moe" in name else 0.8) / expected.std() < bound


def test_overrides_replace_tensors(bases, tmp_path):
    folder, model = bases("llama")
    name = "model.layers.1.mlp.down_proj.weight"
    changed = dict(model.named_parameters())[name].detach().numpy()[::-1].copy()
    write_backbone_gguf(folder, tmp_path / "plain.gguf")
    write_backbone_gguf(folder, tmp_path / "changed.gguf", overrides={name: changed})
    plain, other = (gguf.GGUFReader(tmp_path / f"{x}.gguf") for x in ("plain", "changed"))
    differing = [
        a.name for a, b in zip(plain.tensors, other.tensors, strict=True) if not np.array_equal(a.data, b.data)
    ]
    assert differing == ["blk.1.ffn_down.weight"]


def test_the_vocabulary_tokenizes_alike(bases, tmp_path):
    """llama.cpp, given the vocabulary in the file, splits as tokenizer.json does; the chat template is there."""
    from engram_local.backends.gguf_tokenizer import GgufTokenizer
    from engram_local.tokenization import Tokenizer

    folder, _ = bases("llama")
    write_backbone_gguf(folder, tmp_path / "backbone.gguf")
    ours, theirs = Tokenizer(folder), GgufTokenizer(tmp_path / "backbone.gguf")
    for text in (TEXT, "  two  spaces\n\nnew line", "<|user|>hi<|end|>", "\u0000 \U0001f600 caf\u00e9"):
        assert theirs.encode(text) == ours.encode(text), text
        assert theirs.decode(ours.encode(text)) == ours.decode(ours.encode(text))
    messages = [{"role": "user", "content": "hello"}]
    assert theirs.encode_chat(messages) == ours.encode_chat(messages)
    assert theirs.vocab_size == ours.vocab_size < VOCAB
    assert theirs.end_ids() == [2]
