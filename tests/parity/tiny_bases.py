"""Random Hugging Face models of every family that exports as GGUF, small enough to make in a test.

Weights are large enough for logits that spread over several units, so that a bound on their error means something.
"""

import json
from pathlib import Path

import tokenizers
import torch
import transformers

VOCAB, HIDDEN, LAYERS = 320, 256, 3  # llama.cpp's Q4_K needs widths that 256 divides
TEXT = "The memory of a model lies in tables on disk; its language is in the backbone. 0123456789 \u00e9 \u4e16"
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

DENSE = {
    "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": 512, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
}  # fmt: skip
PLAIN = {k: v for k, v in DENSE.items() if k != "head_dim"}
EXPERTS = {"num_experts_per_tok": 2}
CONFIGS = {
    "llama": (transformers.LlamaConfig, DENSE),
    "llama-bias": (transformers.LlamaConfig, PLAIN | {"attention_bias": True}),
    "llama-rope3": (transformers.LlamaConfig, DENSE | {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}),
    "mistral": (transformers.MistralConfig, DENSE | {"sliding_window": None}),
    "qwen2": (transformers.Qwen2Config, PLAIN),
    "qwen3": (transformers.Qwen3Config, DENSE | {"tie_word_embeddings": True}),
    "qwen3-yarn": (transformers.Qwen3Config, DENSE | {"rope_parameters": {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}}),
    "gemma3": (transformers.Gemma3TextConfig, DENSE | {
        "query_pre_attn_scalar": 64, "sliding_window": 16, "tie_word_embeddings": True,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}),
    "phi3": (transformers.Phi3Config, PLAIN),
    "phi3-longrope": (transformers.Phi3Config, PLAIN | {
        "max_position_embeddings": 1024, "original_max_position_embeddings": 256, "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 256,
            "short_factor": [1.0 + 0.01 * i for i in range(32)], "long_factor": [1.0 + 0.1 * i for i in range(32)]}}),
    "qwen3moe": (transformers.Qwen3MoeConfig, DENSE | EXPERTS | {
        "num_experts": 4, "moe_intermediate_size": 256, "norm_topk_prob": True}),
    "mixtral": (transformers.MixtralConfig, DENSE | EXPERTS | {"num_local_experts": 4, "sliding_window": None}),
    "ministral3": (transformers.Ministral3Config, DENSE | {"rope_parameters": {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}}),
    "qwen3_5": (transformers.Qwen3_5TextConfig, DENSE | {
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"]}),
    "gemma4": (transformers.Gemma4TextConfig, DENSE | {
        "sliding_window": 16, "tie_word_embeddings": True, "vocab_size_per_layer_input": VOCAB,
        "hidden_size_per_layer_input": 32, "global_head_dim": 128, "final_logit_softcapping": 30.0,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}),
    "gemma4-shared": (transformers.Gemma4TextConfig, DENSE | {
        "num_hidden_layers": 4, "sliding_window": 16, "tie_word_embeddings": True, "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True, "hidden_size_per_layer_input": 32, "global_head_dim": 128,
        "vocab_size_per_layer_input": VOCAB,
        "num_global_key_value_heads": 1, "attention_k_eq_v": True,
        "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "olmo2": (transformers.Olmo2Config, PLAIN),
    "olmo3": (transformers.Olmo3Config, PLAIN | {
        "sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}),
}  # fmt: skip


def make_base(name: str, folder: Path) -> torch.nn.Module:
    """Write the model `name` of CONFIGS with a tokenizer into `folder`; returns it, float32, in eval mode."""
    make, fields = CONFIGS[name]
    return write_base(make(**fields), folder)


def write_base(config: transformers.PretrainedConfig, folder: Path) -> torch.nn.Module:
    """`make_base` for any other config."""
    torch.manual_seed(len(config.model_type))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.ndim == 1 or key.endswith("norm.weight"):
                weight.add_(0.2 * torch.randn_like(weight))
            else:
                scale = 1.0 if "embed_tokens" in key else 1.5 / weight.shape[-1] ** 0.5
                weight.copy_(scale * torch.randn_like(weight))
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return model


def write_tokenizer(folder: Path, n_merges: int = VOCAB - 270) -> None:
    """A byte-level BPE with a chat template: 6 special tokens, 256 bytes, `n_merges` merges learned from TEXT."""
    special = ["<pad>", "<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=len(special) + 256 + n_merges,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([TEXT * 3], trainer)
    core.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "<|end|>", "pad_token": "<pad>", "add_bos_token": False}
    settings["tokenizer_class"] = (
        "PreTrainedTokenizerFast"  # else transformers builds the family's own around the merges
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
