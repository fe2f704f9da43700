"""A transformers qwen4_exp model as a GGUF, in float32: what llama.cpp's own converter writes, for tiny models.

Source: llama.cpp's conversion/qwen4exp.py.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tiny_gguf import PIECES, TEMPLATE, add_vocabulary

from engram_local.tools.export.gguf_families import FAMILIES

ARCH = "qwen4exp"
NAMES = {
    "input_mix_weight_down": "down", "input_mix_weight_up": "up", "block_inject_weight": "inject", "hc_norm": "norm",
}  # fmt: skip
BLOCK = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.indexer.q_layernorm": "indexer.q_norm", "self_attn.indexer.k_layernorm": "indexer.k_norm",
    "linear_attn.in_proj_qkv": "attn_qkv", "linear_attn.in_proj_z": "attn_gate", "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.in_proj_b": "ssm_beta", "linear_attn.conv1d": "ssm_conv1d", "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out", "linear_attn.A_log": "ssm_a", "linear_attn.dt_bias": "ssm_dt.bias",
    "ple.key_proj": "ple_key", "ple.value_proj": "ple_value", "ple.norm_key": "ple_norm_key",
    "ple.norm_query": "ple_norm_query", "ple.norm_conv": "ple_norm_conv", "ple.conv1d": "ple_conv1d",
    "mlp.gate": "ffn_gate_inp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp", "mlp.experts.down_proj": "ffn_down_exps",
}  # fmt: skip


def write_qwen4_gguf(model: Any, path: Path) -> None:
    """Write it with the vocabulary of tiny_gguf.py."""
    config = model.config
    writer = gguf.GGUFWriter(path, ARCH)
    rope, kinds = config.rope_parameters, config.layer_types
    interval = next(i + 1 for i, kind in enumerate(kinds) if kind != "linear_attention")
    ple = model.model.layers[config.ple_layer_ids[0] - 1].ple.ple_embedding
    for key, value in {
        "context_length": config.max_position_embeddings, "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers, "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads, "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "rope.dimension_count": int(config.head_dim * rope["partial_rotary_factor"]),
        "expert_count": config.num_experts, "expert_used_count": config.num_experts_per_tok,
        "expert_feed_forward_length": config.moe_intermediate_size,
        "expert_shared_feed_forward_length": config.shared_expert_intermediate_size,
        "full_attention_interval": interval, "ssm.conv_kernel": config.linear_conv_kernel_dim,
        "ssm.state_size": config.linear_key_head_dim, "ssm.group_count": config.linear_num_key_heads,
        "ssm.time_step_rank": config.linear_num_value_heads,
        "ssm.inner_size": config.linear_num_value_heads * config.linear_value_head_dim,
        "hyper_connection.count": config.hc_count, "hyper_connection.low_rank": config.hc_lowrank,
        "attention.indexer.head_count": config.indexer_n_heads,
        "attention.indexer.key_length": config.indexer_head_dim, "attention.indexer.top_k": config.indexer_budget,
        "ple.ngram_size": config.ngram_size, "ple.heads_per_ngram": config.heads_per_ngram,
        "ple.conv_kernel": config.ple_conv_kernel_size, "ple.eos_token_id": config.eos_token_id,
        "embedding_length_per_layer_input": ple.ngram_embedding.weight.shape[1],
    }.items():  # fmt: skip
        writer.add_uint32(f"{ARCH}.{key}", value)
    writer.add_vocab_size(config.vocab_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_array(f"{ARCH}.rope.dimension_sections", [*rope["mrope_section"], 0])
    ratios = [0 if kind == "linear_attention" else config.indexer_compress_ratio for kind in kinds]
    writer.add_array(f"{ARCH}.attention.compress_ratios", ratios)
    writer.add_array(f"{ARCH}.ple.layers", [i - 1 for i in config.ple_layer_ids])
    for key, values in {
        "layer_multipliers": ple.layer_multipliers, "head_offsets": ple.ngram_heads_offsets,
        "head_vocab_sizes": ple.ngram_heads_vocab_sizes,
    }.items():  # fmt: skip
        array = gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT64
        writer.add_key_value(f"{ARCH}.ple.{key}", values.tolist(), *array)
    add_vocabulary(writer, PIECES, TEMPLATE)
    for name, values in _tensors(model).items():
        writer.add_tensor(name, np.ascontiguousarray(values, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(model: Any) -> dict[str, np.ndarray]:
    config, found = model.config.to_dict(), {}
    for name, tensor in model.state_dict().items():
        values = tensor.detach().numpy()
        if ".ple_embedding." in name:
            if name.endswith("ngram_embedding.weight"):
                found["per_layer_token_embd.weight"] = values
            continue
        values = FAMILIES["Qwen3_5ForCausalLM"].change(name, values, config)
        stem = name.removesuffix(".weight")
        if "norm" in stem.rpartition(".")[2] and not name.endswith("linear_attn.norm.weight"):
            values = values + 1
        if name.endswith("ple.conv1d.weight"):
            values = values.reshape(len(values), -1)
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            found[{"m": "token_embd.weight", "l": "output.weight"}[name[0]]] = values
            continue
        if stem.startswith("model.hyper_connection_mixer."):
            found[f"output_hc_{NAMES[stem.rpartition('.')[2]]}.weight"] = values
            continue
        _, _, i, part = stem.split(".", 3)
        prefix = f"blk.{i}."
        if "_hyper_connection." in part:
            side, _, what = part.partition("_hyper_connection.")
            found[f"{prefix}hc_{'ffn' if side == 'mlp' else side}_{NAMES[what]}.weight"] = values
        elif part == "self_attn.indexer.index_qk_proj":
            n = config["indexer_n_heads"] * config["indexer_head_dim"]
            found[f"{prefix}indexer.q_proj.weight"], found[f"{prefix}indexer.k_proj.weight"] = values[:n], values[n:]
        elif part == "mlp.experts.gate_up_proj":
            found[f"{prefix}ffn_gate_exps.weight"], found[f"{prefix}ffn_up_exps.weight"] = np.split(values, 2, axis=1)
        else:
            known = prefix + BLOCK[part]
            plain = known.endswith((".bias", "ssm_a"))
            found[known if plain else f"{known}.weight"] = (
                values.reshape(-1) if "shexp" in known and values.shape[0] == 1 else values
            )
    return found
