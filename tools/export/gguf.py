"""A Hugging Face backbone as GGUF, for llama.cpp: names and keys through the `gguf` package, one tensor at a time."""

import math
import os
from pathlib import Path

import numpy as np

from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.tensors import Tensors, read_json
from engram_local.tools.export.gguf_families import Family, find_family
from engram_local.tools.export.gguf_vocab import add_vocab, missing

# weights -> (type that is written, llama_ftype of the quantizer or None)
WEIGHTS = {"float32": ("float32", None), "float16": ("float16", None), "q8_0": ("float16", 7), "q4_k": ("float16", 15)}
WEIGHTS |= {"int8": WEIGHTS["q8_0"], "int4": WEIGHTS["q4_k"]}


def write_backbone_gguf(
    hf_folder: str | Path,
    out_path: str | Path,
    weights: str = "float32",
    *,
    overrides: dict[str, np.ndarray] | None = None,
    prefixes: tuple[str, ...] = ("engram.",),
) -> str | None:
    """Write the backbone in `hf_folder` (config.json, weights, tokenizer.json) to `out_path`.

    Parameters: weights: float32, float16, q8_0 (= int8) or q4_k (= int4; llama.cpp's Q4_K_M mixture);
                overrides: float32 arrays that replace the folder's own tensors, by the names that they have there;
                prefixes: tensors that are no part of the backbone.
    Returns:    why the file has no vocabulary, so that llama.cpp runs it on token ids alone; None where it has one.
    Raises:     CheckpointError for an unknown family or option, or a tensor without a place; leaves nothing behind.
    Cost:       one tensor in memory at a time (the experts of one block together); a quantized type writes the whole
                model as float16 beside `out_path` first.
    Source:     llama.cpp's convert_hf_to_gguf.py.
    """
    hf_folder, out_path = Path(hf_folder), Path(out_path)
    if weights not in WEIGHTS:
        raise CheckpointError(f"{weights!r} is no weight type for GGUF; choose one of {', '.join(WEIGHTS)}")
    dtype, ftype = WEIGHTS[weights]
    config = read_json(hf_folder / "config.json")
    family = find_family(config, hf_folder)
    partial = Path(f"{out_path}.partial")
    without = missing(hf_folder, family.arch)
    try:
        _write(hf_folder, config, family, partial, dtype, overrides or {}, prefixes, vocabulary=without is None)
        if ftype is not None:
            quantized = Path(f"{out_path}.quantized.partial")
            try:
                quantize_gguf(partial, quantized, ftype)
                os.replace(quantized, partial)
            finally:
                quantized.unlink(missing_ok=True)
        os.replace(partial, out_path)
    finally:
        partial.unlink(missing_ok=True)
    return without


def _write(
    folder: Path,
    config: dict,
    family: Family,
    path: Path,
    dtype: str,
    overrides: dict,
    prefixes: tuple,
    vocabulary: bool,
) -> None:
    import gguf

    tensors = Tensors(folder)
    unknown = [x for x in overrides if x not in tensors and x != "lm_head.weight"]  # which is tied where it is missing
    if unknown:
        raise CheckpointError(f"{folder}: has no tensor {unknown[0]}, which was to be replaced; save the merged model")
    plan = _plan(tensors, config, family, prefixes, folder)
    prepared = family.prepare(config)
    extra = _rope_tensors(prepared) | family.tensors(config)
    writer = gguf.GGUFWriter(path, family.arch)
    try:
        _add_parameters(writer, prepared, family, dtype, folder)
        family.keys(writer, config)
        pieces: set[str] = set()
        if vocabulary:
            pieces = add_vocab(writer, folder, config["vocab_size"])
        else:
            writer.add_tokenizer_model("none")
        name = Path(folder).resolve().name
        # llama.cpp goes by the name too: one with "phi3" or "phi-3" in it must have that model's special tokens.
        if "phi" not in name.lower() or {"<unk>", "<s>", "<|endoftext|>"} <= pieces:
            writer.add_name(name)
        for name, values in extra.items():
            writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
        for name, part in plan.items():
            shape = part.shape(tensors)
            # Norms, biases, convolutions and the router cost nothing as float32.
            exact = len(shape) == 1 or "ffn_gate_inp" in name or "conv1d" in name
            kind = np.dtype("<f4" if exact else dtype)
            writer.add_tensor_info(name, shape, kind, math.prod(shape) * kind.itemsize)
            part.dtype = kind
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for values in extra.values():
            writer.write_tensor_data(values)
        for part in plan.values():
            writer.write_tensor_data(part.load(tensors, overrides, family, config))
    finally:
        writer.close()


class _Part:
    """One GGUF tensor: where it comes from and what happens to it on the way."""

    dtype: np.dtype

    def __init__(self, names: list[str], stack=False, half: int | None = None, heads: int = 0, shift: float = 0.0):
        self.names, self.stack, self.half, self.heads, self.shift = names, stack, half, heads, shift

    def shape(self, tensors: Tensors) -> tuple[int, ...]:
        shape = tensors.shape(self.names[0])
        if self.half is not None:
            return (shape[0], shape[1] // 2, *shape[2:])
        if len(shape) == 3 and "conv1d" in self.names[0]:
            return (shape[0], shape[2])
        return (len(self.names), *shape) if self.stack else shape

    def load(self, tensors: Tensors, overrides: dict, family: Family, config: dict) -> np.ndarray:
        arrays = [overrides[n] if n in overrides else tensors.numpy(n) for n in self.names]
        arrays = [family.change(n, x, config) for n, x in zip(self.names, arrays, strict=True)]
        values = np.stack(arrays) if self.stack else arrays[0]
        if self.half is not None:
            values = np.split(values, 2, axis=1)[self.half]
        if self.heads:
            # Hugging Face rotates (i, i + d/2), llama.cpp (2i, 2i + 1).
            grouped = values.reshape(self.heads, 2, values.shape[0] // self.heads // 2, *values.shape[1:])
            values = grouped.swapaxes(1, 2).reshape(values.shape)
        return np.ascontiguousarray(values + np.float32(self.shift) if self.shift else values, dtype=self.dtype)


def _plan(tensors: Tensors, config: dict, family: Family, prefixes: tuple, folder: Path) -> dict[str, _Part]:
    """GGUF name -> part, in the checkpoint's order."""
    import gguf

    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == family.arch)
    names = gguf.get_tensor_name_map(arch, config["num_hidden_layers"])
    tied = config.get("tie_word_embeddings", family.arch in ("gemma3", "gemma4"))
    plan: dict[str, _Part] = {}

    def add(hf_name: str, part: _Part) -> None:
        known = hf_name.replace(".dt_bias", ".dt_proj.bias").replace(".layer_scalar", ".layer_scalar.weight")
        name = names.get_name(known, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise CheckpointError(f"{folder}: tensor {hf_name} has no place in llama.cpp's {family.arch} graph")
        plan[name] = part

    for hf_name in tensors.names():
        if hf_name.startswith(prefixes) or hf_name.endswith("rotary_emb.inv_freq"):
            continue
        if hf_name == "lm_head.weight" and tied:
            continue
        head, _, tail = hf_name.partition(".experts.")
        if tail.startswith("gate_up_proj"):  # all experts of a block, gate and up together
            add(f"{head}.experts.gate_proj.weight", _Part([hf_name], half=0))
            add(f"{head}.experts.up_proj.weight", _Part([hf_name], half=1))
        elif tail.startswith("down_proj"):
            add(f"{head}.experts.down_proj.weight", _Part([hf_name]))
        elif tail:  # one expert's own matrix: stacked behind expert 0
            expert, matrix = tail.split(".", 1)
            if expert == "0":
                n = config.get("num_local_experts", config.get("num_experts"))
                add(f"{head}.experts.{matrix}", _Part([f"{head}.experts.{e}.{matrix}" for e in range(n)], stack=True))
        else:
            heads = 0
            if family.permute and (".q_proj." in hf_name or ".k_proj." in hf_name):
                heads = config["num_attention_heads"]
                heads = config.get("num_key_value_heads") or heads if ".k_proj." in hf_name else heads
            is_shifted = hf_name.endswith("norm.weight") and not hf_name.endswith(family.unshifted)
            shift = family.norm_shift if is_shifted else 0.0
            add(hf_name, _Part([hf_name], heads=heads, shift=shift))
    return plan


def _rope(config: dict) -> tuple[dict, float | None]:
    """Rope parameters of the full-attention layers, and the base of the sliding ones where they have their own."""
    rope = config.get("rope_parameters") or {}
    if "full_attention" in rope:
        return rope["full_attention"], rope.get("sliding_attention", {}).get("rope_theta")
    scaling = config.get("rope_scaling") or {}
    rope = {"rope_theta": config.get("rope_theta", 10000.0), **scaling, **rope}
    rope.setdefault("rope_type", scaling.get("type", rope.get("type", "default")))
    return rope, config.get("rope_local_base_freq")


def _add_parameters(writer, config: dict, family: Family, dtype: str, folder: Path) -> None:
    import gguf

    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    context = config.get("max_position_embeddings", 131072 if family.arch == "gemma3" else 4096)
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if window and not family.window:
        context = min(context, window)  # llama.cpp attends to everything here: right only up to the window's width
    writer.add_context_length(context)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(1 if dtype == "float16" else 0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    rope, swa_base = _rope(config)
    partial = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    writer.add_rope_dimension_count(int(head_dim * partial))
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    _add_rope_scaling(writer, rope, config, context, folder)
    n_experts = config.get("num_local_experts", config.get("num_experts"))
    if n_experts:
        writer.add_expert_count(n_experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        if "moe_intermediate_size" in config:
            writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    if family.window and window:
        n = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
        n = n or (6 if family.arch.startswith("gemma") else 4)
        types = config.get("layer_types") or [
            "full_attention" if (i + 1) % n == 0 else "sliding_attention" for i in range(config["num_hidden_layers"])
        ]
        writer.add_sliding_window(window)
        writer.add_sliding_window_pattern([t == "sliding_attention" for t in types])
        if swa_base or family.arch.startswith("gemma"):  # else that of the other layers
            writer.add_rope_freq_base_swa(float(swa_base or 10000.0))
    if config.get("final_logit_softcapping"):
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])


def _add_rope_scaling(writer, rope: dict, config: dict, context: int, folder: Path) -> None:
    import gguf

    kind = rope["rope_type"]
    if kind in ("default", "llama3"):  # llama3: a tensor, see _rope_tensors
        return
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope.get("original_max_position_embeddings") or context)
    elif kind in ("longrope", "su"):
        original = _original_context(rope, config)
        scale = config["max_position_embeddings"] / original
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0)
    else:
        raise CheckpointError(
            f"{folder}: rope scaling {kind!r} cannot be written as GGUF; known: llama3, linear, yarn, longrope"
        )


def _original_context(rope: dict, config: dict) -> int:
    return (
        rope.get("original_max_position_embeddings")
        or config.get("original_max_position_embeddings")
        or config["max_position_embeddings"]
    )


def _rope_tensors(config: dict) -> dict[str, np.ndarray]:
    """Frequency factors that llama.cpp reads as tensors."""
    rope, _ = _rope(config)
    if rope["rope_type"] in ("longrope", "su"):
        return {
            "rope_factors_long.weight": np.asarray(rope["long_factor"], np.float32),
            "rope_factors_short.weight": np.asarray(rope["short_factor"], np.float32),
        }
    if rope["rope_type"] != "llama3":
        return {}
    dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    wavelength = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, dim, 2, dtype=np.float64) / dim)
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    smooth = np.clip((old / wavelength - low) / (high - low), 0.0, 1.0)
    return {"rope_freqs.weight": (1 / ((1 - smooth) / rope["factor"] + smooth)).astype(np.float32)}


def quantize_gguf(source: Path, out: Path, ftype: int) -> None:
    """llama.cpp's own quantizer. Raises CheckpointError with its reason."""
    from engram_local.backends.llama_library import llama, log

    lib = llama()
    params = lib.llama_model_quantize_default_params()
    params.ftype = ftype
    log.clear()
    if lib.llama_model_quantize(str(source).encode(), str(out).encode(), params) != 0:
        raise CheckpointError(f"{source}: llama.cpp cannot quantize it ({log.reason()})")
