"""Builds the "engram" block of config.json (engram_local/config.py) from what the layouts have in common."""

from collections.abc import Sequence

from engram_local.config import FORMAT_VERSION
from engram_local.tools.checkpoints.view import table_name


def layer_block(
    layer_id: int,
    streams: int,
    head_dim: int,
    orders: list[int],
    heads: int,
    terms: list[list[list[int]]],
    primes: list[int],
    offsets: list[int],
    conv: tuple[int, int] | None,
) -> dict:
    """One layer. `terms` has the (lag, multiplier) pairs of each order; `primes` and `offsets` are flat, in
    (order, head) order; `conv` is (kernel, dilation).
    """
    if not len(primes) == len(offsets) == len(orders) * heads:
        raise ValueError(f"{len(primes)} primes and {len(offsets)} offsets for {len(orders)} orders of {heads} heads")
    return {
        "layer_id": layer_id,
        "site": "block",
        "streams": streams,
        "head_dim": head_dim,
        "n_rows": sum(primes),
        "encoding": "float32",
        "table": table_name(layer_id),
        "conv": None if conv is None else {"kernel": conv[0], "dilation": conv[1]},
        "orders": [
            {
                "order": n,
                "terms": terms[i],
                "moduli": primes[i * heads : (i + 1) * heads],
                "offsets": offsets[i * heads : (i + 1) * heads],
            }
            for i, n in enumerate(orders)
        ],
    }


def engram_block(
    n_ids: int,
    fill_id: int,
    layers: list[dict],
    compressed: bool = True,
    *,
    segment_ids: Sequence[int] = (),
    mix: str = "xor",
    fuse: str = "gated",
    residual_streams: int = 1,
) -> dict:
    """The whole block: ids hashed by XOR (or sum) of products, `fill_id` standing before the start of the text and
    before what follows one of `segment_ids`."""
    return {
        "version": FORMAT_VERSION,
        "fuse": fuse,
        "residual_streams": residual_streams,
        "ids": {
            "source": "compressed" if compressed else "raw",
            "n_ids": n_ids,
            "token_map": "token_map.safetensors" if compressed else None,
        },
        "window": {"fill_id": fill_id, "segment_ids": list(segment_ids)},
        "mix": mix,
        "layers": layers,
    }
