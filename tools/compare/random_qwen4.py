"""A random GGUF of architecture qwen4exp (Qwen3.8-Flash-Next): four residual streams, delta nets, experts, and an
n-gram table of its own, of any size.

    python -m engram_local.tools.compare.random_qwen4 OUT.gguf --table 4GiB [--rows q8_0]

It answers nonsense, but reads of its table what the published model reads: 16 rows of 160 values a token.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.errors import EngramError, UsageError
from engram_local.sizes import format_size, parse_size
from engram_local.tables.links import linked_row_bytes
from engram_local.tools.checkpoints.qwen4_exp import ARCHITECTURE, TABLE, head_sizes, multipliers
from engram_local.tools.new_folder import check_space, new_file

BLOCK_ROWS = 1 << 18  # rows that are made at a time; the table repeats them, each time begun elsewhere
HALVES = {"q8_0": 2, "q4_0": 2, "iq4_nl": 2}  # bytes of a block's float16 scale, which stands first


@dataclass(frozen=True)
class Sizes:
    """Of the network."""

    hidden: int = 2560
    streams: int = 4
    low_rank: int = 32
    blocks: int = 4  # the last one has attention, the others delta nets
    context: int = 8192
    heads: int = 4
    head_dim: int = 64
    ffn: int = 64  # of an expert
    experts: int = 8
    state: int = 64  # of the delta net, as the next three
    key_heads: int = 2
    value_heads: int = 4
    kernel: int = 4
    vocab: int = 2000
    eos: int = 1999
    ple_layer: int = 1
    ngrams: int = 3
    heads_per_ngram: int = 8
    row: int = 160


def make_random_qwen4(path: Path, table_bytes: int, rows: str = "q8_0") -> None:
    """Write the file `path` with a table of about `table_bytes` in the encoding `rows` (a key of HALVES). Raises
    EngramError; nothing is left then."""
    import gguf

    if rows not in HALVES:
        raise UsageError(f"rows of {rows!r} are not made here; choose one of {', '.join(HALVES)}")
    sizes = Sizes()
    width = linked_row_bytes(rows, sizes.row)
    assert width is not None
    n_heads = (sizes.ngrams - 1) * sizes.heads_per_ngram
    moduli = head_sizes(max(2, table_bytes // width // n_heads), 0, n_heads)
    n_rows = -(-sum(moduli) // 128) * 128
    rng = np.random.default_rng(3)
    tensors = {name: random_tensor(rng, name, shape) for name, shape in shapes(sizes).items()}
    check_space(path, n_rows * width + sum(x.nbytes for x in tensors.values()))
    with new_file(path) as out:
        writer = gguf.GGUFWriter(None, ARCHITECTURE)
        add_keys(writer, sizes, moduli, multipliers(1234, 0, sizes.vocab, sizes.ngrams))
        _add_vocabulary(writer, sizes)
        for name, values in tensors.items():
            is_matrix = values.ndim > 1 and "conv1d" not in name and "ffn_gate_inp" not in name
            tensors[name] = values.astype(np.float16) if is_matrix else values
            writer.add_tensor_info(name, values.shape, tensors[name].dtype, tensors[name].nbytes)
        kind = gguf.GGMLQuantizationType[rows.upper()]
        writer.add_tensor_info(TABLE, (n_rows, width), np.dtype(np.uint8), n_rows * width, raw_dtype=kind)
        writer.fout = [out]
        writer.state = gguf.gguf_writer.WriterState.EMPTY
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for values in tensors.values():
            writer.write_tensor_data(values)
        for block in _table_blocks(rng, n_rows, width, HALVES[rows]):
            out.write(block)


def _table_blocks(rng: np.random.Generator, n_rows: int, width: int, half: int) -> Iterator[memoryview]:
    """The table's bytes: random codes and small scales."""
    n = min(BLOCK_ROWS, n_rows)
    n_blocks = 160 // 32
    made = rng.integers(0, 256, (n, n_blocks, width // n_blocks), np.uint8)
    scales = rng.uniform(0.005, 0.015, (n, n_blocks)).astype("<f2")
    made[..., :half] = scales[..., None].view(np.uint8)
    left = n_rows
    while left:
        count = min(left, n)
        yield np.ascontiguousarray(np.roll(made, int(rng.integers(n)), 0)[:count]).data
        left -= count


def add_keys(writer: Any, sizes: Sizes, moduli: list[int] | None, numbers: list[int]) -> None:
    """Everything but the vocabulary; moduli: rows of the table's heads, None for a model without one."""
    import gguf

    s, arch = sizes, ARCHITECTURE
    counts = {
        "context_length": s.context, "embedding_length": s.hidden, "block_count": s.blocks,
        "attention.head_count": s.heads, "attention.head_count_kv": 1, "attention.key_length": s.head_dim,
        "attention.value_length": s.head_dim, "rope.dimension_count": s.head_dim // 2, "expert_count": s.experts,
        "expert_used_count": 2, "expert_feed_forward_length": s.ffn, "expert_shared_feed_forward_length": s.ffn,
        "full_attention_interval": s.blocks, "ssm.conv_kernel": s.kernel, "ssm.state_size": s.state,
        "ssm.group_count": s.key_heads, "ssm.time_step_rank": s.value_heads, "ssm.inner_size": s.value_heads * s.state,
        "hyper_connection.count": s.streams, "hyper_connection.low_rank": s.low_rank,
        "attention.indexer.head_count": 2, "attention.indexer.key_length": 32, "attention.indexer.top_k": 2048,
    }  # fmt: skip
    if moduli is not None:
        counts |= {
            "ple.ngram_size": s.ngrams, "ple.heads_per_ngram": s.heads_per_ngram, "ple.conv_kernel": s.kernel,
            "ple.eos_token_id": s.eos, "embedding_length_per_layer_input": s.row,
        }  # fmt: skip
    for key, value in counts.items():
        writer.add_uint32(f"{arch}.{key}", value)
    writer.add_layer_norm_rms_eps(1e-6)
    third = s.head_dim // 4 // 3
    writer.add_array(f"{arch}.rope.dimension_sections", [s.head_dim // 4 - 2 * third, third, third, 0])
    writer.add_array(f"{arch}.attention.compress_ratios", [0] * (s.blocks - 1) + [16])
    if moduli is None:
        return
    writer.add_array(f"{arch}.ple.layers", [s.ple_layer])
    offsets = [sum(moduli[:i]) for i in range(len(moduli))]
    for key, values in {"layer_multipliers": numbers, "head_offsets": offsets, "head_vocab_sizes": moduli}.items():
        kinds = gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT64
        writer.add_key_value(f"{arch}.ple.{key}", list(values), *kinds)


def _add_vocabulary(writer: Any, sizes: Sizes) -> None:
    import tokenizers

    pieces = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pieces += ["ab", *(f"<{i}>" for i in range(len(pieces) + 1, sizes.vocab))]  # llama.cpp wants a merge
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(pieces)
    writer.add_token_types([1 if i <= 256 else 3 for i in range(len(pieces))])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(sizes.eos)
    writer.add_bos_token_id(sizes.eos)


def shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """{tensor: shape}, the table apart."""
    s = sizes
    wide = s.streams * s.hidden
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (s.vocab, s.hidden), "output.weight": (s.vocab, s.hidden),
        "output_hc_norm.weight": (wide,), "output_hc_down.weight": (s.low_rank, wide),
        "output_hc_up.weight": (wide, s.low_rank),
    }  # fmt: skip
    for i in range(s.blocks):
        block: dict[str, tuple[int, ...]] = {}
        for part in ("attn", "ffn"):
            block |= {f"hc_{part}_norm.weight": (wide,), f"hc_{part}_down.weight": (s.low_rank, wide)}
            block |= {f"hc_{part}_up.weight": (wide, s.low_rank), f"hc_{part}_inject.weight": (s.streams, wide)}
        if i + 1 == s.blocks:
            block |= {"attn_q.weight": (2 * s.heads * s.head_dim, s.hidden), "attn_k.weight": (s.head_dim, s.hidden)}
            block |= {"attn_v.weight": (s.head_dim, s.hidden), "attn_output.weight": (s.hidden, s.heads * s.head_dim)}
            block |= {"attn_q_norm.weight": (s.head_dim,), "attn_k_norm.weight": (s.head_dim,)}
            block |= {"indexer.q_proj.weight": (64, s.hidden), "indexer.k_proj.weight": (32, s.hidden)}
            block |= {"indexer.q_norm.weight": (32,), "indexer.k_norm.weight": (32,)}
        else:
            value, mixed = s.value_heads * s.state, (2 * s.key_heads + s.value_heads) * s.state
            block |= {"attn_qkv.weight": (mixed, s.hidden), "attn_gate.weight": (value, s.hidden)}
            block |= {"ssm_a": (s.value_heads,), "ssm_conv1d.weight": (mixed, s.kernel)}
            block |= {"ssm_dt.bias": (s.value_heads,), "ssm_norm.weight": (s.state,)}
            block |= {"ssm_beta.weight": (s.value_heads, s.hidden), "ssm_alpha.weight": (s.value_heads, s.hidden)}
            block |= {"ssm_out.weight": (s.hidden, value)}
        if i == s.ple_layer:
            block |= {"ple_key.weight": (wide, s.hidden), "ple_value.weight": (s.hidden, s.hidden)}
            block |= {f"ple_norm_{x}.weight": (wide,) for x in ("key", "query", "conv")}
            block |= {"ple_conv1d.weight": (wide, s.kernel)}
        block |= {"ffn_gate_inp.weight": (s.experts, s.hidden), "ffn_gate_inp_shexp.weight": (s.hidden,)}
        block |= {f"ffn_{x}_exps.weight": (s.experts, s.ffn, s.hidden) for x in ("gate", "up")}
        block |= {f"ffn_{x}_shexp.weight": (s.ffn, s.hidden) for x in ("gate", "up")}
        block |= {"ffn_down_exps.weight": (s.experts, s.hidden, s.ffn), "ffn_down_shexp.weight": (s.hidden, s.ffn)}
        found |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    return found


def random_tensor(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of a spread that keeps what is computed finite."""
    if "norm" in name:
        return (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    if name.endswith("ssm_a"):  # how fast a head forgets
        return -rng.uniform(0.1, 1.0, shape).astype(np.float32)
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 made, 1 it failed (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m engram_local.tools.compare.random_qwen4")
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", type=parse_size, default="4GiB", help="bytes of the table (4GiB)")
    parser.add_argument("--rows", default="q8_0", choices=HALVES, help="(q8_0)")
    options = parser.parse_args(argv)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        make_random_qwen4(options.out, options.table, options.rows)
    except (EngramError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {format_size(options.out.stat().st_size)}; engram-local link {options.out} OUT")
    return 0


if __name__ == "__main__":
    sys.exit(main())
