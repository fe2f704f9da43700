"""English text that every Python has, as the pocket model's tokens: the documentation of Python itself."""

import ast
import pydoc_data.topics
import random
import sysconfig
from pathlib import Path

import numpy as np

LEAST_CHARACTERS = 200  # shorter docstrings are hardly prose


def real_text() -> tuple[np.ndarray, str]:
    """(token ids int64 [n], what they are of): pydoc's topics and the standard library's docstrings, shuffled."""
    from tokenizers import Tokenizer

    from engram_local.model_folder import POCKET

    texts = documentation()
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        if not {"site-packages", "test", "tests", "pydoc_data"} & set(path.parts):
            texts += _docstrings(path)
    random.Random(0).shuffle(texts)  # every part of the stream is of the same kind
    tokenizer = Tokenizer.from_file(str(Path(POCKET) / "tokenizer.json"))
    ids = np.concatenate([np.array(encoding.ids, np.int64) for encoding in tokenizer.encode_batch(texts)])
    n_characters = sum(map(len, texts))
    return ids, f"Python's documentation ({n_characters / 1e6:.1f} M characters) by the pocket model's tokenizer"


def documentation() -> list[str]:
    """pydoc's topics."""
    return list(pydoc_data.topics.topics.values())


def _docstrings(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text and len(text) >= LEAST_CHARACTERS]
