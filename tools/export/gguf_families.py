"""How each Hugging Face architecture reads in llama.cpp: its name there, its own keys, and tensors that change.

Source: llama.cpp's conversion/ and src/models at the release that backends/llama_library.py names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.architecture import architecture


def _same(config: dict) -> dict:
    return config


def _no_keys(writer: Any, config: dict) -> None:
    pass


def _no_tensors(config: dict) -> dict[str, np.ndarray]:
    return {}


def _as_it_is(name: str, values: np.ndarray, config: dict) -> np.ndarray:
    return values


@dataclass(frozen=True)
class Family:
    """How one Hugging Face architecture reads in llama.cpp."""

    arch: str  # general.architecture
    permute: bool = False  # rotary halves interleaved in q and k
    norm_shift: float = 0.0  # the norms hold w - shift
    unshifted: str = "-"  # the end of a norm's name that holds w itself
    window: bool = False  # llama.cpp keeps the sliding window
    activation: str = "silu"
    prepare: Callable[[dict], dict] = _same  # config.json -> what the writer's own keys are made of
    keys: Callable[[Any, dict], None] = _no_keys  # adds keys of its own to a GGUFWriter
    tensors: Callable[[dict], dict[str, np.ndarray]] = _no_tensors  # that no checkpoint holds
    change: Callable[[str, np.ndarray, dict], np.ndarray] = _as_it_is  # values of a tensor, by the checkpoint's name


def _mistral3_keys(writer: Any, config: dict) -> None:
    rope = config.get("rope_parameters") or {}
    writer.add_rope_scaling_yarn_log_mul(float(rope.get("mscale_all_dim", 1.0)))
    writer.add_rope_scaling_yarn_beta_fast(float(rope.get("beta_fast", 32.0)))
    writer.add_rope_scaling_yarn_beta_slow(float(rope.get("beta_slow", 1.0)))
    if rope.get("llama_4_scaling_beta"):
        writer.add_attn_temperature_scale(float(rope["llama_4_scaling_beta"]))


def _qwen35_keys(writer: Any, config: dict) -> None:
    rope = config.get("rope_parameters") or {}
    writer.add_rope_dimension_sections([*(rope.get("mrope_section") or [11, 11, 10]), 0])
    writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
    writer.add_ssm_state_size(config["linear_key_head_dim"])
    writer.add_ssm_group_count(config["linear_num_key_heads"])
    writer.add_ssm_time_step_rank(config["linear_num_value_heads"])
    writer.add_ssm_inner_size(config["linear_value_head_dim"] * config["linear_num_value_heads"])
    kinds = [x == "full_attention" for x in config["layer_types"]]
    interval = kinds.index(True) + 1 if any(kinds) else len(kinds) + 1
    if kinds != [(i + 1) % interval == 0 for i in range(len(kinds))]:
        raise CheckpointError(f"layer_types has full attention at {kinds}, not at regular intervals")
    writer.add_full_attention_interval(interval)


def _qwen35_change(name: str, values: np.ndarray, config: dict) -> np.ndarray:
    """A key head's value heads stand together in checkpoints; llama.cpp repeats the key heads in turn."""
    if ".linear_attn." not in name:
        return values
    keys, n = config["linear_num_key_heads"], config["linear_num_value_heads"]
    key_dim, dim = keys * config["linear_key_head_dim"], config["linear_value_head_dim"]

    def in_turn(x: np.ndarray) -> np.ndarray:  # [value heads * dim, ...] along the first axis
        return x.reshape(keys, n // keys, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    tail = name.rpartition(".linear_attn.")[2]
    if tail.startswith(("in_proj_qkv", "conv1d")):
        values = values.reshape(2 * key_dim + n * dim, -1)
        return np.concatenate([values[: 2 * key_dim], in_turn(values[2 * key_dim :])])
    if tail.startswith("A_log"):
        return -np.exp(in_turn(values))
    if tail.startswith(("in_proj_z", "in_proj_a", "in_proj_b", "dt_bias")):
        return in_turn(values)
    return in_turn(values.T).T if tail.startswith("out_proj") else values


def _gemma4_prepare(config: dict) -> dict:
    kinds = config["layer_types"]
    n_shared = config.get("num_kv_shared_layers") or 0
    width, heads = config["intermediate_size"], config["num_key_value_heads"]
    if config.get("use_double_wide_mlp") and n_shared:
        n_own = len(kinds) - n_shared
        width = [width * (1 if i < n_own else 2) for i in range(len(kinds))]
    full = _of_full_layers(config, "num_key_value_heads", "num_global_key_value_heads")
    if full:
        heads = [heads if kind == "sliding_attention" else full for kind in kinds]
    rope = config["rope_parameters"]
    plain = {"rope_theta": rope["full_attention"]["rope_theta"], "rope_type": "default"}
    return config | {
        "head_dim": _of_full_layers(config, "head_dim", "global_head_dim"),
        "intermediate_size": width,
        "num_key_value_heads": heads,
        "rope_parameters": rope | {"full_attention": plain},
    }


def _of_full_layers(config: dict, key: str, older: str) -> int | None:
    """A size of Gemma 4's layers of full attention, where they have their own."""
    of_layers = config.get("per_layer_config") or {}
    found = [
        of_layers[i].get(key)
        for i in map(str, range(len(config["layer_types"])))
        if i in of_layers and config["layer_types"][int(i)] == "full_attention"
    ]
    return config.get(older) or next((x for x in found if x), None)


def _gemma4_keys(writer: Any, config: dict) -> None:
    rope = config["rope_parameters"]["sliding_attention"]
    writer.add_key_length_swa(config["head_dim"])
    writer.add_value_length_swa(config["head_dim"])
    writer.add_rope_dimension_count_swa(int(config["head_dim"] * rope.get("partial_rotary_factor", 1.0)))
    writer.add_shared_kv_layers(config.get("num_kv_shared_layers") or 0)
    writer.add_embedding_length_per_layer_input(config.get("hidden_size_per_layer_input") or 0)
    if not config.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(0.0)  # without the key llama.cpp takes 30


def _gemma4_tensors(config: dict) -> dict[str, np.ndarray]:
    """The full layers turn a part of each head: the others' frequencies are divided by what is nearly infinity."""
    half = _of_full_layers(config, "head_dim", "global_head_dim") // 2
    turned = int(half * config["rope_parameters"]["full_attention"].get("partial_rotary_factor", 1.0))
    return {"rope_freqs.weight": np.where(np.arange(half) < turned, 1.0, 1e30).astype(np.float32)}


GELU = "gelu_pytorch_tanh"
FAMILIES = {
    "LlamaForCausalLM": Family("llama", permute=True),
    "MistralForCausalLM": Family("llama", permute=True),
    "MixtralForCausalLM": Family("llama", permute=True),
    "Ministral3ForCausalLM": Family("mistral3", permute=True, keys=_mistral3_keys),
    "Qwen2ForCausalLM": Family("qwen2"),
    "Qwen3ForCausalLM": Family("qwen3"),
    "Qwen3MoeForCausalLM": Family("qwen3moe"),
    "Qwen3_5ForCausalLM": Family(
        "qwen35", norm_shift=1.0, unshifted="linear_attn.norm.weight", keys=_qwen35_keys, change=_qwen35_change
    ),
    "Gemma3ForCausalLM": Family("gemma3", norm_shift=1.0, window=True, activation=GELU),
    "Gemma4ForCausalLM": Family(
        "gemma4", window=True, activation=GELU, prepare=_gemma4_prepare, keys=_gemma4_keys, tensors=_gemma4_tensors
    ),
    "Phi3ForCausalLM": Family("phi3"),
    "Olmo2ForCausalLM": Family("olmo2"),
    "Olmo3ForCausalLM": Family("olmo2", window=True),
}


def find_family(config: dict, folder: Path) -> Family:
    """The family of a config.json. Raises CheckpointError where llama.cpp would compute something else."""
    name = architecture(config)
    if name not in FAMILIES:
        raise CheckpointError(
            f"{folder}: architecture {name[:60]} cannot be written as GGUF; known: {', '.join(FAMILIES)}. A GGUF of it "
            "that others made takes the layers too: engram-local attach"
        )
    family = FAMILIES[name]
    wrong = {
        "hidden_act": config.get("hidden_act", config.get("hidden_activation")) not in (None, family.activation),
        "norm_topk_prob": name == "Qwen3MoeForCausalLM" and not config.get("norm_topk_prob"),
        "mlp_only_layers": bool(config.get("mlp_only_layers")),
        "decoder_sparse_step": config.get("decoder_sparse_step", 1) != 1,
        "attn_logit_softcapping": config.get("attn_logit_softcapping") is not None,
        "query_pre_attn_scalar": family.arch == "gemma3" and config["num_hidden_layers"] != 62
        and config.get("query_pre_attn_scalar", 256) != config.get("head_dim", 256),
        "enable_moe_block": bool(config.get("enable_moe_block")),
        "use_bidirectional_attention": config.get("use_bidirectional_attention") == "all",
    }  # fmt: skip
    for key in (k for k, bad in wrong.items() if bad):
        raise CheckpointError(f"{folder}: llama.cpp's {family.arch} graph does not have {key} = {config.get(key)!r}")
    return family
