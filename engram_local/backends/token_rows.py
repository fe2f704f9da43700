"""The token embeddings of a GGUF, read where they lie: given to llama.cpp as such, it looks nothing up by token id."""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engram_local.backends.llama_library import ggml_function
from engram_local.errors import BackendError
from engram_local.tables.gguf_header import DAMAGE, read_gguf_header

TENSOR = "token_embd.weight"
FLOAT32 = 0  # ggml_type


class TokenRows:
    """float32 rows of the tensor TENSOR, whatever its type."""

    def __init__(self, files: Sequence[Path]):
        """files: the parts of one GGUF. Raises BackendError."""
        for path in files:
            try:
                with open(path, "rb") as file:
                    tensor = read_gguf_header(file).tensors.get(TENSOR)
            except (OSError, *DAMAGE) as error:
                raise BackendError(f"{path}: its header cannot be read ({str(error)[:160]}); fetch it again") from error
            if tensor is not None:
                break
        else:
            raise BackendError(f"{files[0]}: has no tensor {TENSOR}; use another GGUF")
        n_rows, self.width = tensor.shape
        row_size = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_int, ctypes.c_int64)(ggml_function("ggml_row_size"))
        rows = np.memmap(path, np.uint8, "r", tensor.offset, (n_rows, row_size(tensor.kind, self.width)))
        self._rows = np.asarray(rows)  # a memmap's own indexing takes several times as long
        self._decode = None
        if tensor.kind != FLOAT32:
            type_name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)(ggml_function("ggml_type_name"))
            self._decode = _decoder(type_name(tensor.kind).decode())

    def take(self, token_ids: np.ndarray, out: np.ndarray) -> None:
        """Write the rows of int64 [n] into `out`, float32 [n, width], contiguous."""
        rows = self._rows[token_ids] if len(token_ids) > 1 else self._rows[token_ids.item()]  # which copies nothing
        if self._decode is None:
            out[:] = rows.view("<f4")
        else:
            self._decode(_address(rows), _address(out), out.size)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]  # array.ctypes takes several times as long


def _decoder(kind: str) -> Any:
    """ggml's function(source, float32 destination, values) for rows of a type, which it names as everybody does."""
    names = {"f16": "ggml_fp16_to_fp32_row", "bf16": "ggml_bf16_to_fp32_row"}
    address = ggml_function(names.get(kind, f"dequantize_row_{kind}"))
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)
