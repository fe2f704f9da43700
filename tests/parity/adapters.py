"""Random engram-peft adapters beside random base models, and the logits that engram-peft itself computes.

tests/parity/conftest.py must have been loaded before (engram-peft needs its shim); pytest sees to that.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import transformers
from engram_peft import EngramConfig, EngramModel, get_engram_model
from parity.tiny_bases import CONFIGS, DENSE, EXPERTS, VOCAB, write_base

NO_HEAD_DIM = {k: v for k, v in DENSE.items() if k != "head_dim"}
FAMILIES = CONFIGS | {
    "ernie4_5": (transformers.Ernie4_5Config, DENSE),
    "gemma": (transformers.GemmaConfig, DENSE | {"tie_word_embeddings": True}),
    "gemma2": (transformers.Gemma2Config, DENSE | {
        "query_pre_attn_scalar": 64, "sliding_window": 16, "tie_word_embeddings": True}),
    "granite": (transformers.GraniteConfig, NO_HEAD_DIM | {
        "embedding_multiplier": 2.0, "attention_multiplier": 0.1, "residual_multiplier": 0.5, "logits_scaling": 2.0}),
    "nemotron": (transformers.NemotronConfig, NO_HEAD_DIM),
    "smollm3": (transformers.SmolLM3Config, NO_HEAD_DIM | {"no_rope_layer_interval": 2}),
    "qwen2moe": (transformers.Qwen2MoeConfig, NO_HEAD_DIM | EXPERTS | {
        "num_experts": 4, "moe_intermediate_size": 256, "shared_expert_intermediate_size": 128}),
    "starcoder2": (transformers.Starcoder2Config, NO_HEAD_DIM | {
        "use_bias": True, "sliding_window": 16, "norm_epsilon": 1e-5}),
    "stablelm": (transformers.StableLmConfig, NO_HEAD_DIM | {"use_qkv_bias": True}),
    "cohere2": (transformers.Cohere2Config, DENSE | {
        "tie_word_embeddings": True, "sliding_window": 16, "logit_scale": 0.5,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
    "olmoe": (transformers.OlmoeConfig, NO_HEAD_DIM | EXPERTS | {"num_experts": 4, "intermediate_size": 256}),
}  # fmt: skip
TRACED = ("ministral3", "starcoder2", "stablelm", "cohere2")  # families that the ONNX builder lacks, and PyTorch traces
GGUF_ONLY = ("qwen3_5", "gemma4", "gemma4-shared")  # families that have no ONNX graph
ENGRAM = {
    "engram_vocab_size_per_ngram": [2000, 3000],
    "ngram_sizes": [2, 3],
    "n_head_per_ngram": 2,
    "embedding_dim": 64,
    "target_layers": [1],
    "hc_mult": 1,
    "seed": 3,
}


def make_adapter(
    folder: Path, family: str, safe: bool = True, added_tokens=(), base_options=None, base_dtype=None, **peft_options
):
    """Write a random base model and an adapter for it into `folder`; returns (base path, adapter path).

    family: a name of FAMILIES; base_options: fields of its config that replace the usual ones; base_dtype: what the
    base is stored as, by default float32; safe: the adapter as safetensors, else as engram_weights.pt; added_tokens:
    texts that join the tokenizer behind its vocabulary; peft_options: fields of EngramConfig that replace those of
    ENGRAM. No weight is zero.
    """
    base, adapter = Path(folder) / "base", Path(folder) / "adapter"
    make, fields = FAMILIES[family]
    model = write_base(make(**fields | (base_options or {})), base)
    if model.config.tie_word_embeddings:  # a token's own embedding must not decide the logits alone
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(0.1)
        model.save_pretrained(base)
    if base_dtype is not None:
        model.to(base_dtype).save_pretrained(base)
        model.float()
    add_adapter(model, base, adapter, safe, added_tokens, **peft_options)
    return base, adapter


def add_adapter(model, base: Path, adapter: Path, safe: bool = True, added_tokens=(), **peft_options) -> None:
    """Write a random adapter for `model`, which lies in `base`, into the folder `adapter`; see make_adapter."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    if added_tokens:
        tokenizer.add_tokens(list(added_tokens))
        tokenizer.save_pretrained(base)
    config = EngramConfig(**ENGRAM | {"tokenizer_name_or_path": str(base)} | peft_options)
    engram = get_engram_model(model, config, tokenizer=tokenizer)
    torch.manual_seed(7)
    with torch.no_grad():
        for name, weight in engram.engram_layers.named_parameters():
            noise = torch.randn_like(weight)
            if "norm" in name:
                weight.copy_(1 + 0.3 * noise)
            elif "conv" in name:
                weight.copy_(0.5 * noise)
            elif "multi_head_embedding" in name:
                weight.copy_(noise)
            else:
                weight.copy_(noise / weight.shape[-1] ** 0.5)
    engram.save_pretrained(str(adapter), safe_serialization=safe)


def reference_logits(base: Path, adapter: Path | None, ids, memory: bool = True) -> np.ndarray:
    """engram-peft's own full-sequence logits, all in float32: float32 [len(ids), vocab].

    memory False: the base model's alone, without engram-peft.
    """
    model = reference_model(Path(base), Path(adapter) if memory else None)
    with torch.no_grad():
        return model(input_ids=torch.as_tensor(np.asarray(ids, np.int64))[None]).logits[0].float().numpy()


@lru_cache(maxsize=4)
def reference_model(base: Path, adapter: Path | None) -> torch.nn.Module:
    """The base model with (or, adapter None, without) the adapter, float32."""
    load = transformers.AutoModelForCausalLM.from_pretrained
    model = load(base, dtype=torch.float32, attn_implementation="eager")
    if adapter is not None:
        if (adapter / "adapter_config.json").exists():
            import peft

            model = peft.PeftModel.from_pretrained(model, adapter)
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        model = EngramModel.from_pretrained(model, str(adapter), tokenizer=tokenizer, engram_dtype="float32")
    return model.eval()


def prompts(n: int = 3, length: int = 40, vocab: int = VOCAB, seed: int = 0) -> np.ndarray:
    """Random prompts int64 [n, length] of ordinary tokens."""
    return np.random.default_rng(seed).integers(6, vocab, (n, length))
