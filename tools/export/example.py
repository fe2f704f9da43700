"""A checkpoint as tools/train writes them, with random weights: a Llama of two blocks, an Engram layer before each.

python -m engram_local.tools.export.example OUT
"""

import json
import sys
from pathlib import Path

import numpy as np

from engram_local.errors import EngramError
from engram_local.tools.new_folder import refuse_existing

VOCAB, N_IDS, HIDDEN, HEAD_DIM, KERNEL, DILATION = 64, 24, 32, 8, 4, 3
PRIMES = {0: [97, 101, 103, 107], 1: [109, 113, 127, 131]}


def make_checkpoint(path: Path, dtype: str = "float32", seed: int = 0) -> Path:
    """Write the folder `path`, which must not exist, and return it; `dtype` is a torch dtype's name, of the tables and
    all weights. Raises ModelFolderError."""
    import tokenizers
    import torch
    import transformers
    from safetensors.torch import save_file

    refuse_existing(path)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=False, bos_token_id=2, eos_token_id=1,
        architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).to(getattr(torch, dtype))
    tensors = dict(model.state_dict())
    width = 4 * HEAD_DIM
    for layer_id, primes in PRIMES.items():
        shapes = {
            "table": (sum(primes), HEAD_DIM), "key_proj": (HIDDEN, width), "value_proj": (HIDDEN, width),
            "norm_key": (HIDDEN,), "norm_query": (HIDDEN,), "norm_conv": (HIDDEN,), "conv": (HIDDEN, 1, KERNEL),
        }  # fmt: skip
        for name, shape in shapes.items():
            values = torch.randn(shape) / (1 if name == "table" else 4) + name.startswith("norm")
            tensors[f"engram.{layer_id}.{name}.weight"] = values.to(getattr(torch, dtype))
    tensors["engram.token_map"] = torch.arange(VOCAB, dtype=torch.int32) % N_IDS
    path.mkdir(parents=True)
    save_file({name: x.contiguous() for name, x in tensors.items()}, path / "model.safetensors", {"format": "pt"})
    block = {
        "hc_mult": 1, "n_heads": 2, "head_dim": HEAD_DIM, "ngram_sizes": [2, 3], "kernel_size": KERNEL,
        "dilation": DILATION, "layer_ids": [0, 1], "compressed_vocab_size": N_IDS, "pad_id": 0, "norm_eps": 1e-6,
        "layers": {
            str(layer_id): {
                "multipliers": (2 * rng.integers(1, 10**6, 3) + 1).tolist(),
                "primes": primes,
                "offsets": np.cumsum([0, *primes[:-1]]).tolist(),
            }
            for layer_id, primes in PRIMES.items()
        },
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps(config.to_dict() | {"engram": block}, default=str))
    words = {f"{'wWẃ'[i // N_IDS]}{i % N_IDS}": i for i in range(VOCAB)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "NOTICE").write_text("by somebody\n")
    return path


if __name__ == "__main__":
    try:
        if len(sys.argv) != 2:
            raise EngramError("write python -m engram_local.tools.export.example OUT")
        make_checkpoint(Path(sys.argv[1]))
    except EngramError as error:
        sys.exit(f"example: {error}")
