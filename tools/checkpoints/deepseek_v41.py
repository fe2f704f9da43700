"""The Engram tables of DeepSeek-V4.1: how its tokens are hashed, from config.json or a GGUF's keys.

Source: vLLM's deepseek_v41 and the release's own inference code. As the demo, but for: one base for all orders, rows of
a width given directly, no seed (0), and windows filled with the compressed id of engram_pad_token_id.
"""

from pathlib import Path

import numpy as np

from engram_local.config import MAX_LAG
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints import draws
from engram_local.tools.checkpoints.blocks import engram_block, layer_block
from engram_local.tools.checkpoints.tensors import read_numbers
from engram_local.tools.gguf_files import GgufFiles

MODEL_TYPE, ARCHITECTURE = "deepseek_v41", "deepseek41"
NO_BACKBONE = "no release of llama.cpp or transformers that this package runs on has its network yet"
ROWS, SCALES = "layers.{}.engram.embed.weight", "layers.{}.engram.embed.scale"  # in Hugging Face's shards
GGUF_ROWS = "blk.{}.engram_embd.weight"
STREAMS = 4
INTEGERS = {
    "engram_max_ngram_size": 2,
    "engram_vocab_size": 2,
    "engram_n_heads": 1,
    "engram_head_dim": 1,
    "engram_pad_token_id": 0,
    "engram_compressed_vocab_size": 1,
}
LISTS = {"engram_layer_ids": 0, "engram_num_embeddings": 1}


def block_of_config(config: dict, file: Path, token_map: np.ndarray | None) -> dict:
    """The "engram" block of a config.json (its text part). token_map: int32 [vocab] of its tokenizer, where that is
    at hand. Raises CheckpointError."""
    x = read_numbers(config, file, INTEGERS, LISTS)
    size, heads, n_ids = x["engram_max_ngram_size"], x["engram_n_heads"], x["engram_compressed_vocab_size"]
    layer_ids = x["engram_layer_ids"]
    if size > MAX_LAG + 1:
        raise CheckpointError(f"{file}: engram_max_ngram_size is {size}, at most {MAX_LAG + 1} are known")
    orders = list(range(2, size + 1))
    pad = x["engram_pad_token_id"]
    if token_map is not None:
        if int(token_map.max()) + 1 != n_ids:
            raise CheckpointError(
                f"{file}: engram_compressed_vocab_size is {n_ids}, its tokenizer compresses to "
                f"{int(token_map.max()) + 1} ids: another tokenizer, so every row would be wrong; fetch its own"
            )
        pad = int(token_map[pad])
    primes = draws.head_primes(layer_ids, [x["engram_vocab_size"]] * len(orders), heads)
    layers = []
    for layer_id, n_rows in zip(layer_ids, x["engram_num_embeddings"], strict=False):
        sizes = primes[layer_id]
        if sum(sizes) != n_rows:
            raise CheckpointError(
                f"{file}: engram_num_embeddings has {n_rows} rows for layer {layer_id}, its heads make {sum(sizes)}"
            )
        numbers = draws.multipliers(0, layer_id, n_ids, size)
        layers.append(_layer(layer_id, x["engram_head_dim"], orders, heads, numbers, sizes, draws.offsets(sizes)))
    return engram_block(n_ids, pad, layers)


def block_of_gguf(gguf: GgufFiles) -> tuple[dict, np.ndarray]:
    """The "engram" block of the hash that a GGUF's engram.* keys describe, and its token map, int32 [vocab]. Raises
    EngramError."""
    heads, size, token_map = (gguf.get(f"engram.{x}") for x in ("head_count", "max_ngram_size", "token_map"))
    layer_ids, head_dim, pad = (gguf.get(f"engram.{x}") for x in ("layer_ids", "key_length", "pad_id"))
    orders = list(range(2, size + 1))
    n = len(orders) * heads
    numbers, primes, offsets = (gguf.get(f"engram.{x}") for x in ("multipliers", "primes", "offsets"))
    if len(numbers) != len(layer_ids) * size or len(primes) != len(layer_ids) * n or len(offsets) != len(primes):
        raise CheckpointError(f"{gguf.path}: its engram.* keys contradict each other ({len(primes)} primes)")
    layers = [
        _layer(x, head_dim, orders, heads, numbers[i * size :][:size], primes[i * n :][:n], offsets[i * n :][:n])
        for i, x in enumerate(layer_ids)
    ]
    return engram_block(max(token_map) + 1, pad, layers), np.array(token_map, np.int32)


def _layer(
    layer_id: int, dim: int, orders: list[int], heads: int, numbers: list[int], sizes: list[int], offsets: list[int]
) -> dict:
    terms = [[[lag, numbers[lag]] for lag in range(n)] for n in orders]
    return layer_block(layer_id, STREAMS, dim, orders, heads, terms, sizes, offsets, None)
