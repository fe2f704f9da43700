"""A tiny random deepseek_v4 of transformers, whose residual has four streams, and the same as a GGUF for llama.cpp.

Few index heads would tie at the border of the best blocks, and the two break ties differently: hence so many.
"""

from pathlib import Path

import gguf
import numpy as np
import torch
import transformers

ARCH = "deepseek4"
RATIOS = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
KINDS = ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention", "sliding_attention"]
TOP = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "model.hc_head.hc_fn": "output_hc_fn", "model.hc_head.hc_base": "output_hc_base",
    "model.hc_head.hc_scale": "output_hc_scale",
}  # fmt: skip
BLOCK = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_norm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_proj": "attn_kv",
    "self_attn.kv_norm": "attn_kv_a_norm", "self_attn.o_a_proj": "attn_output_a", "self_attn.o_b_proj": "attn_output_b",
    "self_attn.sinks": "attn_sinks", "mlp.gate": "ffn_gate_inp", "mlp.experts.down_proj": "ffn_down_exps",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
    **{f"{a}_hc.{x}": f"hc_{a}_{x}" for a in ("attn", "ffn") for x in ("fn", "base", "scale")},
}  # fmt: skip
COMPRESSOR = {"kv_proj": "kv", "gate_proj": "gate", "position_bias": "ape", "kv_norm": "norm"}
INDEXER = {"scorer.weights_proj": "indexer.proj", "q_b_proj": "indexer.attn_q_b"}


def make_deepseek4(vocab: int) -> torch.nn.Module:
    """float32, in eval mode."""
    config = transformers.DeepseekV4Config(
        vocab_size=vocab, hidden_size=128, moe_intermediate_size=64, num_hidden_layers=len(KINDS),
        num_attention_heads=4, num_key_value_heads=1, head_dim=64, q_lora_rank=64, num_experts_per_tok=2,
        n_routed_experts=8, n_shared_experts=1, routed_scaling_factor=1.5, max_position_embeddings=1024,
        layer_types=list(KINDS), hc_mult=4, hc_sinkhorn_iters=20, swiglu_limit=1.0, sliding_window=64, o_groups=2,
        mlp_layer_types=["hash_moe"] + ["moe"] * (len(KINDS) - 1), o_lora_rank=32, index_n_heads=32, index_head_dim=64,
        index_topk=16, partial_rotary_factor=0.5, attn_implementation="eager", bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.DeepseekV4ForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, x in [*model.named_parameters(), *model.named_buffers()]:
            if "inv_freq" in name:
                continue
            if name.endswith("tid2eid"):
                x.copy_(torch.stack([torch.randperm(8)[:2] for _ in range(len(x))]))
                continue
            noise = torch.randn(x.shape)
            if "norm" in name:
                x.copy_(1 + 0.2 * noise)
            elif name.endswith(("hc.fn", "hc_fn")):
                x.copy_(0.05 * noise)
            elif name.endswith(("base", "sinks", "position_bias", "e_score_correction_bias")):
                x.copy_(0.5 * noise)
            elif name.endswith("scale"):
                x.copy_(1 + 0.3 * noise)
            else:
                x.copy_(noise / x.shape[-1] ** 0.5)
    return model


def write_deepseek4_gguf(model: torch.nn.Module, path: Path) -> None:
    """Write it, in float32 and without a vocabulary."""
    c = model.config
    n = c.num_hidden_layers
    writer = gguf.GGUFWriter(path, ARCH)
    for key, value in {
        "context_length": c.max_position_embeddings, "embedding_length": c.hidden_size, "block_count": n,
        "feed_forward_length": c.moe_intermediate_size, "attention.head_count": c.num_attention_heads,
        "attention.head_count_kv": 1, "attention.key_length": c.head_dim, "attention.value_length": c.head_dim,
        "rope.dimension_count": c.qk_rope_head_dim, "attention.q_lora_rank": c.q_lora_rank,
        "attention.sliding_window": c.sliding_window, "vocab_size": c.vocab_size, "expert_count": c.n_routed_experts,
        "expert_used_count": c.num_experts_per_tok, "expert_feed_forward_length": c.moe_intermediate_size,
        "expert_shared_count": 1, "expert_gating_func": 4, "attention.indexer.head_count": c.index_n_heads,
        "attention.indexer.key_length": c.index_head_dim, "attention.indexer.top_k": c.index_topk,
        "attention.output_group_count": c.o_groups, "attention.output_lora_rank": c.o_lora_rank,
        "hyper_connection.count": c.hc_mult, "hyper_connection.sinkhorn_iterations": c.hc_sinkhorn_iters,
        "hash_layer_count": c.mlp_layer_types.count("hash_moe"), "embedding_length_out": c.hc_mult * c.hidden_size,
    }.items():  # fmt: skip
        writer.add_uint32(f"{ARCH}.{key}", value)
    for key, number in {
        "attention.layer_norm_rms_epsilon": c.rms_norm_eps, "rope.freq_base": c.rope_theta,
        "expert_weights_scale": c.routed_scaling_factor, "hyper_connection.epsilon": c.hc_eps,
        "attention.compress_rope_freq_base": c.compress_rope_theta,
    }.items():  # fmt: skip
        writer.add_float32(f"{ARCH}.{key}", float(number))
    writer.add_bool(f"{ARCH}.expert_weights_norm", True)
    for key in ("swiglu_clamp_exp", "swiglu_clamp_shexp"):
        writer.add_array(f"{ARCH}.{key}", [float(c.swiglu_limit)] * n)
    writer.add_array(f"{ARCH}.attention.compress_ratios", [RATIOS[x] for x in c.layer_types])
    writer.add_tokenizer_model("none")
    for name, tensor in model.state_dict().items():
        for other, values in _renamed(name, tensor.detach().numpy()):
            kind = np.int32 if values.dtype == np.int64 else np.float32
            writer.add_tensor(other, np.ascontiguousarray(values, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _renamed(name: str, values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    stem = name.removesuffix(".weight")
    if "inv_freq" in name:
        return []
    if stem in TOP:
        return [(f"{TOP[stem]}.weight", values)]
    _, _, i, part = stem.split(".", 3)
    prefix = f"blk.{i}."
    if part == "mlp.experts.gate_up_proj":
        gate, up = np.split(values, 2, axis=1)
        return [(f"{prefix}ffn_gate_exps.weight", gate), (f"{prefix}ffn_up_exps.weight", up)]
    if part == "mlp.gate.tid2eid":
        return [(f"{prefix}ffn_gate_tid2eid.weight", values)]
    if part == "mlp.gate.e_score_correction_bias":
        return [(f"{prefix}exp_probs_b.bias", values)]
    indexer = part.removeprefix("self_attn.compressor.indexer.")
    compressor = part.removeprefix("self_attn.compressor.")
    if indexer in INDEXER:
        known = INDEXER[indexer]
    elif indexer in COMPRESSOR:
        known = f"indexer_compressor_{COMPRESSOR[indexer]}"
    elif compressor in COMPRESSOR:
        known = f"attn_compressor_{COMPRESSOR[compressor]}"
    else:
        known = BLOCK[part]
    return [(f"{prefix}{known}.weight", values)]
