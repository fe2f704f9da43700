"""Subsample a reference of the shipped model: python tests/make_pocket_logits.py REFERENCE.npz

REFERENCE holds, for prompts i = 0..3, ids_i [n], logits_i and plain_i [n, vocab] (memory on and off). What is kept in
tests/data/pocket_logits.npz is the 16 largest of each position, and which tokens they belong to.
"""

import sys
from pathlib import Path

import numpy as np

N_KEPT = 16


def main(reference: str) -> None:
    data = np.load(reference)
    kept = {}
    for i in range(4):
        kept[f"ids_{i}"] = data[f"ids_{i}"].astype(np.int32)
        for kind in ("logits", "plain"):
            logits = data[f"{kind}_{i}"].astype(np.float32)
            top = np.argsort(-logits, axis=1, kind="stable")[:, :N_KEPT]
            kept[f"{kind}_top_{i}"] = top.astype(np.int32)
            kept[f"{kind}_{i}"] = np.take_along_axis(logits, top, 1)
    np.savez_compressed(Path(__file__).parent / "data" / "pocket_logits.npz", **kept)


if __name__ == "__main__":
    main(sys.argv[1])
