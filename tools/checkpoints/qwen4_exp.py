"""The n-gram table of qwen4_exp (Qwen3.8-Flash-Next): how its tokens are hashed, from config.json or a GGUF's keys.

Source: transformers' qwen4_exp (its n-gram embedding) and llama.cpp's qwen4exp. Raw token ids; the layer reads one
table, under whose name per_layer_token_embd.weight it stands in a GGUF, in shards of equal length elsewhere.
"""

import re
from itertools import accumulate
from pathlib import Path

from engram_local.config import MAX_LAG
from engram_local.errors import CheckpointError, ModelFolderError
from engram_local.tools.checkpoints.blocks import engram_block, layer_block
from engram_local.tools.checkpoints.draws import INT64_MAX, check_heads, is_prime
from engram_local.tools.checkpoints.tensors import read_numbers
from engram_local.tools.gguf_files import GgufFiles

MODEL_TYPE, ARCHITECTURE = "qwen4_exp", "qwen4exp"
TABLE = "per_layer_token_embd.weight"  # in a GGUF
SHARD = re.compile(r"(.*\.)?layers\.(\d+)\.ple\.ple_embedding\.ngram_embedding\.shard_(\d+)\.weight")
CONSTANTS = {  # buffers of the Hugging Face checkpoint -> keys of a GGUF
    "layer_multipliers": "ple.layer_multipliers",
    "ngram_heads_vocab_sizes": "ple.head_vocab_sizes",
    "ngram_heads_offsets": "ple.head_offsets",
}
INTEGERS = {
    "ngram_size": 2,
    "heads_per_ngram": 1,
    "ngram_vocab_size_base": 2,
    "ple_embed_dim": 1,
    "vocab_size": 1,
    "seed": 0,
}
GAMMA, MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def multipliers(seed: int, index: int, vocab_size: int, n: int) -> list[int]:
    """The `n` odd multipliers of the PLE layer `index`, counted from 0 among those."""
    bound = INT64_MAX // vocab_size // 2
    return [2 * (_splitmix64((seed + 10007 * index + GAMMA * (i + 1)) & MASK) % bound) + 1 for i in range(n)]


def head_sizes(base: int, first: int, n: int) -> list[int]:
    """Primes number first + 1 to first + n of those from `base` on."""
    check_heads(first + n)
    found: list[int] = []
    candidate = base
    while len(found) < first + n:
        if is_prime(candidate):
            found.append(candidate)
        candidate += 1
    return found[first:]


def _splitmix64(x: int) -> int:
    x = (x + GAMMA) & MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def block_of_config(config: dict, file: Path) -> dict:
    """The "engram" block of a config.json (its text part). Raises CheckpointError."""
    x = read_numbers(config, file, INTEGERS, {"ple_layer_ids": 1})
    size, heads = x["ngram_size"], x["heads_per_ngram"]
    eos = config.get("eos_token_id")
    eos = eos[0] if isinstance(eos, list) and eos else eos  # as transformers has it
    if type(eos) is not int or not 0 <= eos < x["vocab_size"]:
        raise CheckpointError(f"{file}: eos_token_id is {str(eos)[:40]!r}, which ends the hash's segments; correct it")
    n_heads = (size - 1) * heads
    if size > MAX_LAG + 1 or x["ple_embed_dim"] % n_heads:
        raise CheckpointError(f"{file}: ngram_size, heads_per_ngram and ple_embed_dim do not fit; correct them")
    divisor = config.get("make_ngram_vocab_size_divisible_by") or 1
    layers = []
    for j, layer_id in enumerate(x["ple_layer_ids"]):  # counted from 1
        primes = head_sizes(x["ngram_vocab_size_base"], n_heads * j, n_heads)
        numbers = multipliers(x["seed"], j, x["vocab_size"], size)
        offsets = [0, *accumulate(primes)]
        n_rows = -(-offsets[-1] // divisor) * divisor
        layers.append(_layer(layer_id - 1, x["ple_embed_dim"] // n_heads, numbers, primes, offsets[:-1], n_rows, heads))
    return engram_block(x["vocab_size"], eos, layers, compressed=False, segment_ids=[eos])


def block_of_gguf(gguf: GgufFiles, n_rows: int, head_dim: int) -> dict:
    """The "engram" block of the hash that a GGUF's ple.* keys describe, for a table [n_rows, head_dim]. Raises
    ModelFolderError."""
    get = gguf.get
    layers, size, n_heads = get("ple.layers"), get("ple.ngram_size"), get("ple.heads_per_ngram")
    if len(layers) != 1:
        raise ModelFolderError(f"{gguf.path}: has n-gram layers {layers[:8]}; one is known here")
    numbers, moduli, offsets = (get(x) for x in CONSTANTS.values())
    eos = get("ple.eos_token_id")
    if len(numbers) < size or len(moduli) != (size - 1) * n_heads or len(moduli) != len(offsets):
        raise ModelFolderError(
            f"{gguf.path}: its ple.* keys contradict each other ({len(moduli)} heads, n-grams to {size})"
        )
    if n_rows < sum(moduli):
        raise ModelFolderError(
            f"{gguf.path}: its table has {n_rows} rows, its heads need {sum(moduli)}; fetch it again"
        )
    width = get("embedding_length_per_layer_input")
    if head_dim != width:
        raise ModelFolderError(f"{gguf.path}: takes rows of {width} values, the table's have {head_dim}")
    layer = _layer(layers[0], head_dim, numbers, moduli, offsets, n_rows, n_heads)
    return engram_block(gguf.n_tokens, eos, [layer], compressed=False, segment_ids=[eos])


def _layer(
    layer_id: int, head_dim: int, numbers: list[int], sizes: list[int], offsets: list[int], n_rows: int, heads: int
) -> dict:
    orders = list(range(2, len(sizes) // heads + 2))
    terms = [[[lag, numbers[lag]] for lag in range(n)] for n in orders]
    layer = layer_block(layer_id, 1, head_dim, orders, heads, terms, sizes, offsets, None)
    return layer | {"n_rows": n_rows, "padding_rows": n_rows - sum(sizes)}
