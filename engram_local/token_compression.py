"""Token compression: which tokens of a vocabulary count as the same one for hashing ("Apple", " apple", "apple").

Source: CompressedTokenizer of the public Engram demo (arXiv 2601.07372).
"""

from pathlib import Path
from typing import Any

import numpy as np

from engram_local.errors import ModelFolderError
from engram_local.tokenization import REPLACEMENT

SPACE = "\ue000"  # stands for a text that is one space while the ends are stripped


def compression_map(tokenizer: Any, n_tokens: int | None = None) -> np.ndarray:
    """Token id -> compressed id, int32 [n_tokens], numbered in order of first appearance.

    tokenizer: a path of a tokenizer.json, or a tokenizers.Tokenizer; n_tokens: by default all, added tokens included.
    Each token is decoded alone. Text that is no whole UTF-8 is told apart by the token's own string; other text by its
    normal form: NFKC, NFD, no accents, lower case, runs of white space as one space, ends stripped (one space alone
    stays; what would become empty stays as it was). Raises ModelFolderError.
    """
    import tokenizers
    from tokenizers import Regex, normalizers

    if isinstance(tokenizer, str | Path):
        try:
            tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelFolderError(f"{tokenizer}: not a tokenizer: {str(error)[:160]}") from error
    normal_form = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[ \t\r\n]+"), " "),
            normalizers.Replace(Regex(r"^ $"), SPACE),
            normalizers.Strip(),
            normalizers.Replace(SPACE, " "),
        ]
    )
    n = tokenizer.get_vocab_size(with_added_tokens=True) if n_tokens is None else n_tokens
    numbers: dict[str, int] = {}
    compressed = np.empty(n, np.int32)
    for token_id in range(n):
        text = tokenizer.decode([token_id], skip_special_tokens=False)
        whole = REPLACEMENT not in text
        key = (normal_form.normalize_str(text) or text) if whole else tokenizer.id_to_token(token_id)
        compressed[token_id] = numbers.setdefault(key, len(numbers))
    return compressed
