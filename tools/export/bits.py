"""Bits and block size of each matrix under --weights int8 and int4."""

import re

BLOCKS = (128, 64, 32)  # values that share a scale; the larger, the faster the kernel and the smaller the file


def matrix_bits(name: str, bits: int, n_layers: int) -> int:
    """Bits of the MatMul `name` where the rest takes `bits`.

    Four bits are too few for the head and the embedding, for what attention is computed from, and for the blocks at
    either end, a sixteenth of all each: there an error costs several times as much as elsewhere.
    """
    layer = re.match(r"/model/layers\.(\d+)/", name)
    if layer is None or ("/attn/" in name and "/o_proj/" not in name):
        return 8
    n_ends = max(1, round(n_layers / 16))
    return bits if n_ends <= int(layer[1]) < n_layers - n_ends else 8


def block_size(k: int) -> int:
    """The largest of BLOCKS that divides k, else the smallest."""
    return next((x for x in BLOCKS if k % x == 0), BLOCKS[-1])
