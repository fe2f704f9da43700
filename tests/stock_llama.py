"""Unmodified llama-cpp-python, to compare with."""

import numpy as np

FLOAT32_CACHE = {"type_k": 0, "type_v": 0, "flash_attn": False}


def stock_logits(path, ids, n_ctx: int = 256, **options) -> np.ndarray:
    """float32 [n, vocab]; options of llama_cpp.Llama. One thread, and nothing computed on a GPU."""
    import llama_cpp

    options = {"n_threads": 1, "n_threads_batch": 1, "op_offload": False} | options
    llama = llama_cpp.Llama(str(path), n_ctx=n_ctx, logits_all=True, verbose=False, **options)
    try:
        llama.eval(ids.tolist())
        return np.array(llama.scores[: len(ids)], np.float32)
    finally:
        llama.close()
