"""A random qwen4exp GGUF (tools/compare/random_qwen4.py), tiny; as one file or split, with the table in any of ggml's
types."""

from pathlib import Path

import gguf
import numpy as np
from ggml_blocks import KINDS, random_blocks
from tiny_gguf import PIECES, TEMPLATE, VOCAB, add_vocabulary

from engram_local.tools.compare.random_qwen4 import Sizes, add_keys, random_tensor, shapes

EOS, ROW = 1, 32
SIZES = Sizes(
    hidden=128, low_rank=16, context=256, heads=2, head_dim=32, ffn=32, experts=4, state=16, vocab=VOCAB, eos=EOS,
    heads_per_ngram=2, row=ROW,
)  # fmt: skip
MODULI = (211, 223, 227, 229)
OFFSETS = (0, 211, 434, 661)
PADDING = 22
N_ROWS = sum(MODULI) + PADDING
MULTIPLIERS = (1_000_003, 998_244_353, 20_011)
ARCH, TABLE = "qwen4exp", "per_layer_token_embd.weight"


def write_qwen4(
    path: Path, kind: str = "F32", *, zero_table: bool = False, n_parts: int = 1, ple: bool = True
) -> list[Path]:
    """Write the file `path`, or its parts with the names that splits have; returns them. The table's type is `kind`."""
    rng = np.random.default_rng(13)
    tensors = {name: (random_tensor(rng, name, shape), None) for name, shape in shapes(SIZES).items()}
    table = rng.standard_normal((N_ROWS, ROW)).astype(np.float32)
    quantization = gguf.GGMLQuantizationType[kind]
    data = random_blocks(rng, kind, N_ROWS, ROW) if kind in KINDS else gguf.quants.quantize(table, quantization)
    tensors[TABLE] = (np.zeros_like(data) if zero_table else data, quantization)
    if not ple:
        tensors = {name: x for name, x in tensors.items() if "ple_" not in name and name != TABLE}
    names = list(tensors)
    if n_parts == 1:
        groups, files = [names], [path]
    else:  # as published: the first part has no tensors
        cuts = np.array_split(np.array(names), n_parts - 1)
        groups = [[], *(list(x) for x in cuts)]
        files = [path.with_name(f"{path.stem}-{i + 1:05}-of-{n_parts:05}.gguf") for i in range(n_parts)]
    for i, (file, group) in enumerate(zip(files, groups, strict=True)):
        writer = gguf.GGUFWriter(file, ARCH)
        if i == 0:
            add_keys(writer, SIZES, list(MODULI) if ple else None, list(MULTIPLIERS))
            add_vocabulary(writer, PIECES, TEMPLATE)
        if n_parts > 1:
            writer.add_uint16("split.no", i)
            writer.add_uint16("split.count", n_parts)
            writer.add_int32("split.tensors.count", len(names))
        for name in group:
            values, quantization = tensors[str(name)]
            writer.add_tensor(str(name), values, raw_dtype=quantization)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return files
