"""What the matrices of a small model are given: against a model that is watched by hand."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime_genai")
import torch
import transformers

from engram_local.tools.export import inputs
from engram_local.tools.export.inputs import InputMoments, write_text


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, eos_token_id=2,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()


def watched(model, tokens, layer) -> np.ndarray:
    """All inputs of `layer`, float32 [n, K]."""
    seen = []
    hook = layer.register_forward_pre_hook(lambda _, x: seen.append(x[0].reshape(-1, x[0].shape[-1])))
    with torch.no_grad():
        model.float()(tokens)
    hook.remove()
    return torch.cat(seen).numpy()


def check(found: list[np.ndarray], x: np.ndarray) -> None:
    start = 0
    for h in found:
        part = x[:, start : start + len(h)]
        np.testing.assert_allclose(h, part.T @ part, rtol=0, atol=1e-3 * np.abs(h).max())
        start += len(h)
    assert start == x.shape[1]


@pytest.mark.parametrize("widest", [2048, 64])
def test_moments_of_a_text(model, monkeypatch, widest):
    monkeypatch.setattr(inputs, "WIDEST", widest)
    tokens = np.random.default_rng(0).integers(0, 300, 600)
    moments = InputMoments(model, tokens)
    read = torch.as_tensor(tokens[:512].reshape(2, 256))
    block = model.model.layers[1]
    for layer in (block.mlp.down_proj, block.self_attn.o_proj, block.mlp.gate_proj):
        check(moments.of(layer.weight), watched(model, read, layer))
    assert len(moments.of(block.mlp.down_proj.weight)) == -(-160 // widest)
    queries, values = (moments.of(x.weight) for x in (block.self_attn.q_proj, block.self_attn.v_proj))
    assert all(np.shares_memory(a, b) for a, b in zip(queries, values, strict=True))
    upper = block.mlp.gate_proj.weight[:80]  # a slice of a fused matrix
    np.testing.assert_array_equal(moments.of(upper)[0], moments.of(block.mlp.gate_proj.weight)[0])
    assert moments.of(model.lm_head.weight) is None


def test_without_a_text_the_model_writes_one(model):
    before = torch.random.get_rng_state()
    text = write_text(model.float())
    assert text.shape == (inputs.SEQUENCES, inputs.LENGTH)
    assert torch.equal(write_text(model), text)
    assert torch.equal(torch.random.get_rng_state(), before)
    layer = model.model.layers[1].mlp.down_proj
    check(InputMoments(model).of(layer.weight), watched(model, text[:, :-1], layer))  # nothing follows the last token
