"""Rows of a GGUF, read in place, are what ggml's own dequantizer makes of them, bit for bit."""

import ctypes

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
import gguf
from ggml_blocks import KINDS, random_blocks

from engram_local.backends.llama_library import ggml_function
from engram_local.tables.links import write_link
from engram_local.tables.table import Table, read_layout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [160, 512])
def test_rows_equal_ggml(tmp_path, kind, dim):
    if kind.endswith("_K") and dim % 256:
        pytest.skip("blocks of 256 values")
    rng, quantization = np.random.default_rng(3), gguf.GGMLQuantizationType[kind]
    data = random_blocks(rng, kind, 40, dim)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "test")
    writer.add_tensor("t", data, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    write_link(tmp_path / "t.link.json", [(str(tmp_path / "m.gguf"), "t")])
    ids = rng.permutation(40)
    with Table(read_layout(tmp_path / "t.link.json")) as table:
        ours = table.gather(ids)
    expected = np.empty((40, dim), np.float32)
    name = "dequantize_row_" + kind.lower().replace("_k", "_K")
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(ggml_function(name))(
        data.ctypes.data, expected.ctypes.data, expected.size
    )
    assert np.array_equal(ours, expected[ids])
