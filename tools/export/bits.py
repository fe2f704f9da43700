"""Bits and block size of each matrix under --weights int8 and int4."""

import re

BLOCKS = (128, 64, 32)  # values that share a scale; the larger, the faster the kernel and the smaller the file


def matrix_bits(name: str, bits: int, n_layers: int) -> int:
    """Bits of the MatMul `name` where the rest takes `bits`.

    Four bits are too few for the head and the embedding, for what attention is computed from, and for the first and
    the last block: there an error costs several times as much as elsewhere.
    """
    layer = re.match(r"/model/layers\.(\d+)/", name)
    exact = layer is None or ("/attn/" in name and "/o_proj/" not in name) or int(layer[1]) in (0, n_layers - 1)
    return 8 if exact else bits


def block_size(k: int) -> int:
    """The largest of BLOCKS that divides k, else the smallest."""
    return next((x for x in BLOCKS if k % x == 0), BLOCKS[-1])
