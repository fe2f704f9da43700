"""The token map of a checkpoint, derived from its base model's tokenizer as its trainer derived it."""

from pathlib import Path
from typing import Any

import numpy as np

from engram_local.errors import CheckpointError
from engram_local.token_compression import compression_map
from engram_local.tools.checkpoints.tensors import refuse_pointer


def load_tokenizer(base: Path) -> Any:
    """The tokenizers.Tokenizer of tokenizer.json in `base`. Raises CheckpointError."""
    import tokenizers

    path = base / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; the rows of every token follow from it, so fetch it")
    refuse_pointer(path)
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(f"{path}: not a tokenizer: {str(error)[:160]}") from error


def whole_map(base: Path) -> np.ndarray:
    """int32 [n]: every token of the tokenizer compressed, added tokens too (the demo, TinyEngram)."""
    return compression_map(load_tokenizer(base))


def vocabulary_map(base: Path, vocab_size: int) -> tuple[np.ndarray, int]:
    """(int32 [n], compressed ids): the tokenizer's own vocabulary compressed; added tokens, and rows of the head that
    no token has, keep their own id (engram-peft). n: the larger of `vocab_size` and the tokenizer's size.
    """
    tokenizer = load_tokenizer(base)
    n_own = tokenizer.get_vocab_size(with_added_tokens=False)
    token_map = np.arange(max(vocab_size, tokenizer.get_vocab_size(with_added_tokens=True)), dtype=np.int32)
    own = compression_map(tokenizer, n_own)
    token_map[:n_own] = own
    return token_map, int(own.max()) + 1
