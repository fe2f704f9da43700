"""Model folders around random GGUFs whose blocks are partly recurrent: llama.cpp cannot cut what they remember."""

from pathlib import Path

import numpy as np
from tiny_gguf import FFN, HEADS, HIDDEN, VOCAB, make_tiny_gguf

HEAD_DIM = 16
STATE, KEY_HEADS, VALUE_HEADS, KERNEL = 16, 2, 4, 4  # of the delta net
ATTENTION_BLOCK = 1  # of three; the others are recurrent


def make_tiny_hybrid(path: Path, arch: str, **options) -> Path:
    """Write the folder; `arch`: "lfm2" (short convolutions) or "qwen35" (gated delta nets)."""
    keys, block = {"lfm2": (LFM2, _lfm2), "qwen35": (QWEN35, _qwen35)}[arch]
    tensors = {"token_embd.weight": (VOCAB, HIDDEN)}
    tensors["token_embd_norm.weight" if arch == "lfm2" else "output_norm.weight"] = (HIDDEN,)
    for i in range(3):
        tensors |= {f"blk.{i}.{name}": shape for name, shape in block(i).items()}
    rng = np.random.default_rng(11)
    return make_tiny_gguf(
        path, arch=arch, keys=keys, tensors={k: _random(rng, k, s) for k, s in tensors.items()}, **options
    )


LFM2 = {"shortconv.l_cache": 3, "attention.head_count_kv": [0, HEADS, 0]}
QWEN35 = {
    "attention.head_count_kv": HEADS, "attention.key_length": HEAD_DIM, "attention.value_length": HEAD_DIM,
    "rope.dimension_sections": [4, 2, 2, 0], "full_attention_interval": 2, "ssm.conv_kernel": KERNEL,
    "ssm.state_size": STATE, "ssm.group_count": KEY_HEADS, "ssm.time_step_rank": VALUE_HEADS,
    "ssm.inner_size": VALUE_HEADS * STATE,
}  # fmt: skip


def _lfm2(i: int) -> dict[str, tuple[int, ...]]:
    names = {"attn_norm.weight": (HIDDEN,), "ffn_norm.weight": (HIDDEN,)} | _ffn()
    if i == ATTENTION_BLOCK:
        names |= {f"attn_{x}_norm.weight": (HEAD_DIM,) for x in "qk"}
        return names | {f"attn_{x}.weight": (HIDDEN, HIDDEN) for x in ("q", "k", "v", "output")}
    names |= {"shortconv.conv.weight": (HIDDEN, 3), "shortconv.in_proj.weight": (3 * HIDDEN, HIDDEN)}
    return names | {"shortconv.out_proj.weight": (HIDDEN, HIDDEN)}


def _qwen35(i: int) -> dict[str, tuple[int, ...]]:
    names = {"attn_norm.weight": (HIDDEN,), "post_attention_norm.weight": (HIDDEN,)} | _ffn()
    if i == ATTENTION_BLOCK:
        names |= {f"attn_{x}_norm.weight": (HEAD_DIM,) for x in "qk"}
        names |= {"attn_q.weight": (2 * HEADS * HEAD_DIM, HIDDEN), "attn_output.weight": (HIDDEN, HEADS * HEAD_DIM)}
        return names | {f"attn_{x}.weight": (HEADS * HEAD_DIM, HIDDEN) for x in "kv"}
    value, mixed = VALUE_HEADS * STATE, (2 * KEY_HEADS + VALUE_HEADS) * STATE
    names |= {"attn_qkv.weight": (mixed, HIDDEN), "attn_gate.weight": (value, HIDDEN), "ssm_a": (VALUE_HEADS,)}
    names |= {"ssm_conv1d.weight": (mixed, KERNEL), "ssm_dt.bias": (VALUE_HEADS,), "ssm_norm.weight": (STATE,)}
    names |= {f"ssm_{x}.weight": (VALUE_HEADS, HIDDEN) for x in ("beta", "alpha")}
    return names | {"ssm_out.weight": (HIDDEN, value)}


def _ffn() -> dict[str, tuple[int, ...]]:
    return {"ffn_gate.weight": (FFN, HIDDEN), "ffn_up.weight": (FFN, HIDDEN), "ffn_down.weight": (HIDDEN, FFN)}


def _random(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("norm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith("ssm_a"):  # how fast a head forgets
        return -rng.uniform(0.1, 1.0, shape).astype(np.float32)
    scale = 0.5 if name.startswith("token_embd") else 1.0
    return (scale * rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
