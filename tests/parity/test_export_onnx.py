"""ONNX exports of engram-peft adapters against engram-peft's own full-sequence logits, and of bases against
transformers'."""

import numpy as np
import onnx
import pytest
import torch
from parity.adapters import FAMILIES, GGUF_ONLY, TRACED, prompts, reference_logits
from sequences import Sequence
from typer.testing import CliRunner

from engram_local.cli import make_app
from engram_local.verification import verify

NAMED = ("llama", "qwen3", "gemma3", "qwen3moe", "mixtral")
BOUND = 2e-4  # measured: 3e-5; logits spread over several units

# (family, fields of the base's config): what a graph may get wrong without any family's plain config showing it.
BASES = {
    "mistral with a window": ("mistral", {"sliding_window": 16}),
    "phi3 with a window": ("phi3", {"sliding_window": 16}),
    "phi3 with partial rotation": ("phi3", {
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}}),
    "qwen2 with a window from block 1 on": ("qwen2", {
        "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}),
    "gemma3 whose width has no whole root": ("gemma3", {"hidden_size": 192}),
    "llama with tied embeddings and narrow heads": ("llama", {"tie_word_embeddings": True, "head_dim": 32}),
    "llama with linear positions": ("llama", {
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "qwen3moe without renormalising": ("qwen3moe", {"norm_topk_prob": False}),
    "qwen3moe with a dense block": ("qwen3moe", {"mlp_only_layers": [0]}),
}  # fmt: skip
# Options of the adapter.
ADAPTERS = {
    "at block 0": {"target_layers": [0]},
    "two layers, two streams": {"target_layers": [2, 0], "hc_mult": 2},
    "four streams": {"hc_mult": 4},
    "without compression": {"enable_tokenizer_compression": False},
    "orders 2 and 4": {"ngram_sizes": [2, 4]},
    "one order, one head": {"ngram_sizes": [3], "n_head_per_ngram": 1, "embedding_dim": 16},
    "dilation 1, kernel 2": {"conv_dilation": 1, "conv_kernel_size": 2},
    "dilation 7": {"conv_dilation": 7},
    "bfloat16": {"engram_dtype": "bfloat16"},
    "float16": {"engram_dtype": "float16"},
    "engram_weights.pt": {"safe": False},
    "all at once": {"target_layers": [1, 0], "hc_mult": 3, "ngram_sizes": [2, 4], "conv_dilation": 2},
    "a layer that the base lacks": {"target_layers": [1, 14]},
    "added tokens": {"added_tokens": ("<tool>", "<think>", " Paris")},
}


def errors(base, adapter, model, memory: bool) -> float:
    """The largest difference of a logit over 3 prompts of 40 tokens."""
    return max(
        np.abs(forward(model, ids, memory) - reference_logits(base, adapter, ids, memory)).max() for ids in prompts()
    )


def forward(model, ids, memory: bool = True) -> np.ndarray:
    session = model.session(memory)
    try:
        return session.forward(ids, logits="all")
    finally:
        session.close()


def mean_kl(expected: np.ndarray, found: np.ndarray) -> float:
    """Mean KL divergence in nats of next-token distributions given as logits [n, vocab]."""

    def log_softmax(x):
        x = x.astype(np.float64) - x.max(axis=-1, keepdims=True)
        return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))

    p, q = log_softmax(expected), log_softmax(found)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


@pytest.mark.parametrize("family", [x for x in FAMILIES if x not in GGUF_ONLY + TRACED])
def test_every_family_computes_what_engram_peft_computes(exported, family):
    base, adapter, model = exported(family)
    assert errors(base, adapter, model, memory=True) < BOUND
    assert errors(base, adapter, model, memory=False) < BOUND
    ids = prompts()[0]
    assert (
        np.abs(forward(model, ids) - forward(model, ids, memory=False)).max() > 0.1
    )  # so the first line says something


@pytest.mark.parametrize(("family", "fields"), BASES.values(), ids=BASES)
def test_configs_of_the_base(exported, family, fields):
    base, adapter, model = exported(family, base_options=fields)
    assert errors(base, adapter, model, memory=True) < BOUND
    assert errors(base, adapter, model, memory=False) < BOUND


@pytest.mark.parametrize("family", ["gemma3", "qwen3moe", "granite"])
def test_a_base_stored_as_bfloat16(exported, family):
    """The graph computes in float32 from the stored values, as torch does with dtype=torch.float32."""
    base, adapter, model = exported(family, base_dtype=torch.bfloat16)
    assert errors(base, adapter, model, memory=True) < BOUND


@pytest.mark.parametrize("options", ADAPTERS.values(), ids=ADAPTERS)
def test_configs_of_the_adapter(exported, options):
    base, adapter, model = exported("llama", **options)
    assert errors(base, adapter, model, memory=True) < BOUND
    ids = prompts()[0]
    assert np.abs(forward(model, ids) - forward(model, ids, memory=False)).max() > 1


@pytest.mark.parametrize("family", NAMED)
def test_decoding_equals_the_whole_sequence(exported, family):
    _, _, model = exported(family)
    first, second, _ = prompts()
    whole = forward(model, first)
    session = model.session()
    parts = [session.forward(first[:7], logits="all")] + [session.forward([i]) for i in first[7:]]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-4)
    session.rewind(19)
    other = np.concatenate([first[:19], second[19:]])
    parts = [session.forward([i]) for i in other[19:30]] + [session.forward(other[30:], logits="all")]
    np.testing.assert_allclose(np.concatenate(parts), forward(model, other)[19:], rtol=0, atol=1e-4)
    session.close()


# The largest difference of a logit, in units of their spread; measured: 0 (mixtures 3e-6), 0 (mixtures 0.06 on another
# processor), 0.02. Products with quantized weights round their other side to 8 bits, so where a last bit differs it may
# tip one.
@pytest.mark.parametrize(("weights", "bound"), [("float32", 2e-5), ("int8", 0.1), ("int4", 0.1)])
@pytest.mark.parametrize("family", ["llama", "gemma3", "mixtral", "qwen3moe"])
def test_a_batch_equals_single_runs(exported, family, weights, bound):
    _, _, model = exported(family, weights=weights)
    texts = [x[:n] for x, n in zip(prompts(), (7, 1, 19), strict=True)]
    batch, singles = ([Sequence(model, i != 1) for i in range(3)] for _ in range(2))
    for x, y, text in zip(batch, singles, texts, strict=True):
        model.backend.forward([x.work(text)])
        model.backend.forward([y.work(text)])
    for step in range(4):
        following = [[text[step]] for text in prompts()]
        together = model.backend.forward([x.work(t) for x, t in zip(batch, following, strict=True)])
        for y, t, output in zip(singles, following, together, strict=True):
            alone = model.backend.forward([y.work(t)])[0].logits
            assert np.abs(output.logits - alone).max() < bound * alone.std()


@pytest.mark.parametrize("family", NAMED)
def test_int8_tables_hardly_change_the_distribution(exported, family):
    base, adapter, model = exported(family, tables="int8")
    kl = np.mean([mean_kl(reference_logits(base, adapter, ids), forward(model, ids)) for ids in prompts()])
    assert 0 < kl < 1e-3


# Random weights bear quantization worse than trained ones; the figures are the median position's root mean square
# error in units of the logits' spread, measured: 3e-3, 0.05, 0.45.
@pytest.mark.parametrize(("weights", "bound"), [("float16", 0.006), ("int8", 0.1), ("int4", 0.7)])
@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3moe", "olmoe"])
def test_smaller_weights_stay_close(exported, family, weights, bound):
    base, adapter, model = exported(family, weights=weights)
    ids = prompts()[0]
    expected, found = reference_logits(base, adapter, ids), forward(model, ids)
    by_position = np.sqrt(np.square(found - expected).mean(axis=1)) / expected.std()
    assert 0 < np.median(by_position) < bound
    session = model.session()
    steps = np.concatenate([session.forward([i]) for i in ids])
    session.close()
    by_position = np.sqrt(np.square(steps - expected).mean(axis=1)) / expected.std()
    assert np.median(by_position) < bound


@pytest.mark.parametrize(("weights", "bound"), [("int8", 0.1), ("int4", 0.7)])
def test_widths_that_a_block_does_not_divide(exported, weights, bound):
    """At least 32 values share a scale; the last block of a row is shorter here."""
    widths = {"hidden_size": 200, "intermediate_size": 300, "moe_intermediate_size": 72}
    base, adapter, model = exported("qwen3moe", weights=weights, base_options=widths)
    ids = prompts()[0]
    expected = reference_logits(base, adapter, ids)
    by_position = np.sqrt(np.square(forward(model, ids) - expected).mean(axis=1)) / expected.std()
    assert 0 < np.median(by_position) < bound


def graph_of(model) -> onnx.GraphProto:
    return onnx.load(str(model.folder.path / "backbone.onnx"), load_external_data=False).graph


def n_bytes(model, pattern: str = "backbone.onnx*") -> int:
    return sum(file.stat().st_size for file in model.folder.path.glob(pattern))


BYTES_A_WEIGHT = {"float32": 4, "float16": 2, "int8": 1 + 4 / 128, "int4": 1 / 2 + 4.5 / 128}


@pytest.mark.parametrize("weights", ["float16", "int8", "int4"])
@pytest.mark.parametrize("family", ["mistral", "mixtral"])
def test_smaller_weights_are_smaller(exported, family, weights):
    *_, model = exported(family)
    *_, smaller = exported(family, weights=weights)
    saved = 4 - BYTES_A_WEIGHT[weights]
    projections = 2 * 256 * 64
    layer = n_bytes(model, "engram_layer_1.onnx") - n_bytes(smaller, "engram_layer_1.onnx")
    assert layer == pytest.approx(saved * projections, rel=0.05)
    # Eight bits at least: embedding and head; queries, keys and values; what is dense in the first and the last block.
    exact = 2 * 320 * 256 + 3 * 256 * 512 + 2 * 256 * 256 + (2 * 3 * 256 * 512 if family == "mistral" else 0)
    n_weights = n_bytes(model) / 4
    expected = saved * (n_weights - exact) + min(saved, 4 - BYTES_A_WEIGHT["int8"]) * exact
    assert n_bytes(model) - n_bytes(smaller) == pytest.approx(expected, rel=0.1)


def test_every_projection_of_a_mixture_is_quantized(exported):
    """The router alone stays: its few weights decide which experts run."""
    *_, model = exported("qwen3moe", weights="int4")
    graph = graph_of(model)
    branches = [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    nodes = [node for g in (graph, *branches) for node in g.node]
    assert [node.name for node in nodes if node.op_type == "MatMul"] == [
        f"/model/layers.{i}/moe/router/MatMul" for i in range(3)
    ]
    assert sum(node.op_type == "QMoE" for node in nodes) == 3
    assert sum(node.op_type == "MatMulNBits" and node.name.startswith("engram.") for node in nodes) == 2


@pytest.mark.parametrize("weights", ["float32", "float16", "int8"])
def test_tied_embeddings_are_stored_once(exported, weights):
    *_, tied = exported("llama", weights=weights, base_options={"tie_word_embeddings": True})
    *_, untied = exported("llama", weights=weights)
    vocab, width = tied.backend.vocab_size, 256
    assert n_bytes(untied) - n_bytes(tied) == pytest.approx(BYTES_A_WEIGHT[weights] * vocab * width, rel=0.05)


def test_longrope_serves_its_original_length(exported):
    """Beyond it, transformers computes every position anew with other frequencies."""
    *_, model = exported("phi3-longrope")
    make, fields = FAMILIES["phi3-longrope"]
    assert model.context_length == make(**fields).original_max_position_embeddings


@pytest.mark.parametrize("family", NAMED)
def test_commands(adapter_of, tmp_path, family):
    base, adapter = adapter_of(family)
    out = tmp_path / "model"
    for arguments in (
        ("export", adapter, out, "--base", base, "--weights", "float32", "--tables", "float32"),
        ("verify", out),
        ("generate", out, "--prompt", "The memory of a model", "--temperature", "0", "--max-tokens", "4"),
    ):
        result = CliRunner().invoke(make_app(), [str(x) for x in arguments])
        assert result.exit_code == 0, result.output


def test_added_tokens_pass_verification(exported):
    *_, model = exported("llama", **ADAPTERS["added tokens"])
    findings = list(verify(model.folder.path))
    assert all(x.ok is not False for x in findings)
    assert any("3 keep their own id" in x.text for x in findings)
