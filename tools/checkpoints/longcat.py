"""LongCat's n-gram embedding: how tokens are hashed for the tables that are added to the input embedding.

Source: LongCat-Flash-Lite's modeling_longcat_ngram. Table t of order n, one of `split` tables for each order, has
m + 2t + 1 rows; id = sum over lags s of x[p - s] * (vocab^s mod rows), mod rows. What lies before the text, or beyond
an end token, counts as token 0.
"""

from pathlib import Path

from engram_local.config import MAX_LAG
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints import draws
from engram_local.tools.checkpoints.blocks import engram_block, layer_block
from engram_local.tools.checkpoints.tensors import read_numbers

MODEL_TYPE = "longcat_flash_ngram"
INTEGERS = {"emb_neighbor_num": 2, "emb_split_num": 1, "hidden_size": 1}
NO_BACKBONE = "its mixture of zero-compute experts has no graph here"


def block_of_config(config: dict, file: Path) -> dict:
    """The "engram" block of a config.json. Raises CheckpointError."""
    x = read_numbers(config, file, INTEGERS)
    vocab = config.get("text_vocab_size") or config.get("vocab_size")
    ratio, eos = config.get("ngram_vocab_size_ratio"), config.get("eos_token_id")
    if type(vocab) is not int or vocab < 1 or not isinstance(ratio, int | float) or not 0 < ratio < 2**20:
        raise CheckpointError(f"{file}: vocab_size is {str(vocab)[:40]}, ngram_vocab_size_ratio {str(ratio)[:40]}")
    if type(eos) is not int or not 0 <= eos < vocab:
        raise CheckpointError(f"{file}: eos_token_id is {str(eos)[:40]!r}, not one token of {vocab}; correct it")
    if config.get("ngram_exclude_sp_token"):
        raise CheckpointError(
            f"{file}: ngram_exclude_sp_token is set; n-grams that leave tokens out are not known here"
        )
    orders = list(range(2, x["emb_neighbor_num"] + 1))
    n_tables = len(orders) * x["emb_split_num"]
    if max(orders) > MAX_LAG + 1 or x["hidden_size"] % n_tables:
        raise CheckpointError(f"{file}: emb_neighbor_num, emb_split_num and hidden_size do not fit; correct them")
    layer = table_block(orders, x["emb_split_num"], int(ratio * vocab), vocab, x["hidden_size"] // n_tables)
    return engram_block(vocab, 0, [layer], compressed=False, segment_ids=[eos], mix="add", fuse="summed")


def table_block(orders: list[int], split: int, m: int, vocab: int, head_dim: int) -> dict:
    """The tables as one layer: those of one order stand together, each with moduli and multipliers of its own."""
    draws.check_heads(len(orders) * split)
    sizes = [m + 2 * t + 1 for t in range(len(orders) * split)]
    each = [n for n in orders for _ in range(split)]
    # A multiplier that is 0 modulo the table's size adds nothing.
    terms = [
        [[lag, f] for lag in range(n) if (f := pow(vocab, lag, size))] for n, size in zip(each, sizes, strict=True)
    ]
    return layer_block(0, 1, head_dim, each, 1, terms, sizes, draws.offsets(sizes), None) | {"site": "embedding"}
