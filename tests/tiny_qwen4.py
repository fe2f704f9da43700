"""A random qwen4exp GGUF, the architecture of Qwen3.8-Flash-Next: four residual streams, delta nets, experts, and an
n-gram table of its own; as one file or split, with the table in any of ggml's types."""

from pathlib import Path

import gguf
import numpy as np
from ggml_blocks import KINDS, random_blocks
from tiny_gguf import PIECES, TEMPLATE, VOCAB, add_vocabulary

HIDDEN, STREAMS, LOW_RANK, BLOCKS, CONTEXT = 128, 4, 16, 4, 256
HEADS, HEAD_DIM, FFN, EXPERTS = 2, 32, 32, 4
STATE, KEY_HEADS, VALUE_HEADS, KERNEL = 16, 2, 4, 4  # of the delta net
PLE_LAYER, NGRAMS, HEADS_PER_NGRAM, ROW = 1, 3, 2, 32
MODULI = (211, 223, 227, 229)
OFFSETS = (0, 211, 434, 661)
PADDING = 22
N_ROWS = sum(MODULI) + PADDING
MULTIPLIERS = (1_000_003, 998_244_353, 20_011)
EOS = 1
ARCH, TABLE = "qwen4exp", "per_layer_token_embd.weight"


def write_qwen4(
    path: Path, kind: str = "F32", *, zero_table: bool = False, n_parts: int = 1, ple: bool = True
) -> list[Path]:
    """Write the file `path`, or its parts with the names that splits have; returns them. The table's type is `kind`."""
    rng = np.random.default_rng(13)
    tensors = {name: (_random(rng, name, shape), None) for name, shape in _shapes().items()}
    table = rng.standard_normal((N_ROWS, ROW)).astype(np.float32)
    quantization = gguf.GGMLQuantizationType[kind]
    data = random_blocks(rng, kind, N_ROWS, ROW) if kind in KINDS else gguf.quants.quantize(table, quantization)
    tensors[TABLE] = (np.zeros_like(data) if zero_table else data, quantization)
    if not ple:
        tensors = {name: x for name, x in tensors.items() if "ple_" not in name and name != TABLE}
    names = list(tensors)
    if n_parts == 1:
        groups, files = [names], [path]
    else:  # as published: the first part has no tensors
        cuts = np.array_split(np.array(names), n_parts - 1)
        groups = [[], *(list(x) for x in cuts)]
        files = [path.with_name(f"{path.stem}-{i + 1:05}-of-{n_parts:05}.gguf") for i in range(n_parts)]
    for i, (file, group) in enumerate(zip(files, groups, strict=True)):
        writer = gguf.GGUFWriter(file, ARCH)
        if i == 0:
            _add_keys(writer, ple)
        if n_parts > 1:
            writer.add_uint16("split.no", i)
            writer.add_uint16("split.count", n_parts)
            writer.add_int32("split.tensors.count", len(names))
        for name in group:
            values, quantization = tensors[str(name)]
            writer.add_tensor(str(name), values, raw_dtype=quantization)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return files


def _add_keys(writer: gguf.GGUFWriter, ple: bool) -> None:
    numbers = {
        "context_length": CONTEXT, "embedding_length": HIDDEN, "block_count": BLOCKS, "attention.head_count": HEADS,
        "attention.head_count_kv": 1, "attention.key_length": HEAD_DIM, "attention.value_length": HEAD_DIM,
        "rope.dimension_count": 16, "expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": FFN,
        "expert_shared_feed_forward_length": FFN, "full_attention_interval": BLOCKS, "ssm.conv_kernel": KERNEL,
        "ssm.state_size": STATE, "ssm.group_count": KEY_HEADS, "ssm.time_step_rank": VALUE_HEADS,
        "ssm.inner_size": VALUE_HEADS * STATE, "hyper_connection.count": STREAMS, "hyper_connection.low_rank": LOW_RANK,
        "attention.indexer.head_count": 2, "attention.indexer.key_length": 32, "attention.indexer.top_k": 2048,
    }  # fmt: skip
    for key, value in numbers.items():
        writer.add_uint32(f"{ARCH}.{key}", value)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_array(f"{ARCH}.rope.dimension_sections", [3, 3, 2, 0])
    writer.add_array(f"{ARCH}.attention.compress_ratios", [0, 0, 0, 16])
    if ple:
        for key, value in {
            "ple.ngram_size": NGRAMS, "ple.heads_per_ngram": HEADS_PER_NGRAM, "ple.conv_kernel": KERNEL,
            "ple.eos_token_id": EOS, "embedding_length_per_layer_input": ROW,
        }.items():  # fmt: skip
            writer.add_uint32(f"{ARCH}.{key}", value)
        writer.add_array(f"{ARCH}.ple.layers", [PLE_LAYER])
        for key, values in {
            "layer_multipliers": MULTIPLIERS, "head_offsets": OFFSETS, "head_vocab_sizes": MODULI
        }.items():  # fmt: skip
            kinds = gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT64
            writer.add_key_value(f"{ARCH}.ple.{key}", list(values), *kinds)
    add_vocabulary(writer, PIECES, TEMPLATE)


def _shapes() -> dict[str, tuple[int, ...]]:
    wide = STREAMS * HIDDEN
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (VOCAB, HIDDEN), "output.weight": (VOCAB, HIDDEN),
        "output_hc_norm.weight": (wide,), "output_hc_down.weight": (LOW_RANK, wide),
        "output_hc_up.weight": (wide, LOW_RANK),
    }  # fmt: skip
    for i in range(BLOCKS):
        block: dict[str, tuple[int, ...]] = {}
        for part in ("attn", "ffn"):
            block |= {f"hc_{part}_norm.weight": (wide,), f"hc_{part}_down.weight": (LOW_RANK, wide)}
            block |= {f"hc_{part}_up.weight": (wide, LOW_RANK), f"hc_{part}_inject.weight": (STREAMS, wide)}
        if i + 1 == BLOCKS:
            block |= {"attn_q.weight": (2 * HEADS * HEAD_DIM, HIDDEN), "attn_k.weight": (HEAD_DIM, HIDDEN)}
            block |= {"attn_v.weight": (HEAD_DIM, HIDDEN), "attn_output.weight": (HIDDEN, HEADS * HEAD_DIM)}
            block |= {"attn_q_norm.weight": (HEAD_DIM,), "attn_k_norm.weight": (HEAD_DIM,)}
            block |= {"indexer.q_proj.weight": (64, HIDDEN), "indexer.k_proj.weight": (32, HIDDEN)}
            block |= {"indexer.q_norm.weight": (32,), "indexer.k_norm.weight": (32,)}
        else:
            value, mixed = VALUE_HEADS * STATE, (2 * KEY_HEADS + VALUE_HEADS) * STATE
            block |= {"attn_qkv.weight": (mixed, HIDDEN), "attn_gate.weight": (value, HIDDEN), "ssm_a": (VALUE_HEADS,)}
            block |= {"ssm_conv1d.weight": (mixed, KERNEL), "ssm_dt.bias": (VALUE_HEADS,), "ssm_norm.weight": (STATE,)}
            block |= {"ssm_beta.weight": (VALUE_HEADS, HIDDEN), "ssm_alpha.weight": (VALUE_HEADS, HIDDEN)}
            block |= {"ssm_out.weight": (HIDDEN, value)}
        if i == PLE_LAYER:
            block |= {"ple_key.weight": (wide, HIDDEN), "ple_value.weight": (HIDDEN, HIDDEN)}
            block |= {f"ple_norm_{x}.weight": (wide,) for x in ("key", "query", "conv")}
            block |= {"ple_conv1d.weight": (wide, KERNEL)}
        block |= {"ffn_gate_inp.weight": (EXPERTS, HIDDEN), "ffn_gate_inp_shexp.weight": (HIDDEN,)}
        block |= {f"ffn_{x}_exps.weight": (EXPERTS, FFN, HIDDEN) for x in ("gate", "up")}
        block |= {f"ffn_{x}_shexp.weight": (FFN, HIDDEN) for x in ("gate", "up")}
        block |= {"ffn_down_exps.weight": (EXPERTS, HIDDEN, FFN), "ffn_down_shexp.weight": (HIDDEN, FFN)}
        shapes |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    return shapes


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if "norm" in name:
        return (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    if name.endswith("ssm_a"):  # how fast a head forgets
        return -rng.uniform(0.1, 1.0, shape).astype(np.float32)
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
