"""Tensors that safetensors and torch wrote, read in place: every bit pattern gives torch's number."""

import pytest
from tables.test_links import check

from engram_local.tables.links import write_link

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file


def test_equals_torch_on_every_bit_pattern(tmp_path):
    halves = torch.arange(-(2**15), 2**15, dtype=torch.int16).reshape(256, 256)
    fp8 = torch.arange(256, dtype=torch.uint8).repeat(8, 1)
    for name, tensor in (
        ("bf16", halves.view(torch.bfloat16)),
        ("f16", halves.view(torch.float16)),
        ("fp8", fp8.view(torch.float8_e4m3fn)),
    ):
        path, link = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.link.json"
        save_file({"weight": tensor.contiguous()}, str(path))
        write_link(link, [(str(path), "weight")])
        expected = tensor.to(torch.float32).numpy()
        check(link, expected)


def test_one_table_of_several_shards_with_scales(tmp_path):
    """fp8 codes and ue8m0 scales as DeepSeek stores them, cut over two files; torch multiplies."""
    codes = torch.randint(0, 256, (600, 256), dtype=torch.uint8)
    codes[(codes & 0x7F) == 0x7F] = 0  # NaN
    exponents = torch.randint(100, 150, (600, 8), dtype=torch.uint8)
    parts, scales = [], []
    for i, rows in enumerate((slice(0, 250), slice(250, 600))):
        path = str(tmp_path / f"model-{i}.safetensors")
        save_file(
            {
                "rows": codes[rows].contiguous().view(torch.float8_e4m3fn),
                "scale": exponents[rows].contiguous().view(torch.float8_e8m0fnu),
            },
            path,
        )
        parts.append((path, "rows"))
        scales.append((path, "scale"))
    write_link(tmp_path / "t.link.json", parts, scales)
    factors = exponents.view(torch.float8_e8m0fnu).float().repeat_interleave(32, 1)
    check(tmp_path / "t.link.json", (codes.view(torch.float8_e4m3fn).float() * factors).numpy())
