"""Rows of ggml's block formats with random codes and finite scales, also of those that the gguf package only reads."""

import numpy as np

# Where a block's float16 scales lie.
HALVES = {
    "Q8_0": (0, 2), "Q4_0": (0, 2), "Q4_1": (0, 4), "Q5_0": (0, 2), "Q5_1": (0, 4), "IQ4_NL": (0, 2), "MXFP4": (0, 0),
    "Q4_K": (0, 4), "Q5_K": (0, 4), "Q6_K": (208, 210),
}  # fmt: skip
KINDS = tuple(HALVES)


def random_blocks(rng: np.random.Generator, kind: str, n_rows: int, dim: int) -> np.ndarray:
    """uint8 [n_rows, bytes of a row]."""
    import gguf

    values, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    data = rng.integers(0, 256, (n_rows, dim // values, n_bytes), np.uint8)
    begin, end = HALVES[kind]
    if end:
        scales = rng.uniform(-0.1, 0.1, (*data.shape[:2], (end - begin) // 2)).astype("<f2")
        data[..., begin:end] = scales.view(np.uint8)
    else:  # a power of two, of which all but the largest give finite values
        data[..., 0] = rng.integers(0, 250, data.shape[:2], np.uint8)
    return data.reshape(n_rows, -1)
