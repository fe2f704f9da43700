"""A Hugging Face folder of random weights: a Qwen3 of 0.65 B parameters and a byte-level BPE whose tokens are letters.

It answers nonsense, but computes what a trained model of its size does, and every token of an answer is text.
"""

import itertools
import json
import string
from pathlib import Path
from typing import Any

VOCAB = 32_000
HIDDEN, BLOCKS, CONTEXT = 1536, 22, 4096
END = "<|end|>"


def make_random_backbone(folder: Path, hidden: int = HIDDEN, n_blocks: int = BLOCKS) -> None:
    """Write config.json, model.safetensors and the tokenizer. Needs torch and transformers."""
    random_qwen3(hidden, n_blocks, CONTEXT).save_pretrained(folder)
    write_tokenizer(folder)


def random_qwen3(hidden: int, n_blocks: int, context: int) -> Any:
    """A Qwen3ForCausalLM of float32 weights, the same ones at each call."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=VOCAB,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=n_blocks,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 128,
        head_dim=64,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        eos_token_id=0,
    )
    config.architectures = ["Qwen3ForCausalLM"]
    return transformers.Qwen3ForCausalLM(config)


def write_tokenizer(folder: Path) -> None:
    """The end token, 256 bytes, and merges of letters: pairs first, then pairs with a third."""
    import tokenizers

    letters = string.ascii_letters
    merges = [(a, b) for a, b in itertools.product(letters, letters)]
    merges += [(a + b, c) for a, b, c in itertools.product(letters, letters, letters)]
    bytes_ = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = merges[: VOCAB - 1 - len(bytes_)]
    vocab = {x: i for i, x in enumerate([END, *bytes_, *(a + b for a, b in merges)])}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    core.add_special_tokens([tokenizers.AddedToken(END, special=True)])
    core.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": END, "add_bos_token": False, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
