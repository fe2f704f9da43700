"""Whether a base's config.json says what its tensors are; where not, every backbone made of them would be another."""

import re
from pathlib import Path

import numpy as np

from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.tensors import Tensors, backbone_sizes, read_json

EMBEDDING = tuple(
    f"{prefix}embed_tokens.weight" for prefix in ("model.", "language_model.model.", "model.language_model.", "")
)
BLOCK = re.compile(r"(?:model\.|language_model\.)*layers\.(\d+)\.")
COMPARED_ROWS = 64


def check_base(base: Path, prefixes: tuple[str, ...], replaced: set[str] | None = None) -> None:
    """Compare vocab_size, hidden_size, num_hidden_layers and tie_word_embeddings with the tensors in `base`.

    prefixes: of tensors that are no part of the backbone; replaced: names of those that the checkpoint brings itself.
    Raises CheckpointError, naming key and tensor.
    """
    file = base / "config.json"
    config = read_json(file)
    config = config.get("text_config") or config
    sizes, tensors = backbone_sizes(base), Tensors(base)
    names = [x for x in tensors.names() if not x.startswith(prefixes)]

    def wrong(key: str, value: object, found: str) -> CheckpointError:
        return CheckpointError(
            f"{file}: {key} is {value}, but {found}; config.json and the weights do not belong together"
        )

    embedding = next((x for x in EMBEDDING if x in tensors), None)
    for name in filter(None, (embedding, "lm_head.weight" if "lm_head.weight" in tensors else None)):
        shape = tensors.shape(name)
        for key, n in zip(("vocab_size", "hidden_size"), shape, strict=False):
            if sizes[key] != n:
                raise wrong(key, sizes[key], f"{name} is {list(shape)}")
    blocks = {int(x[1]) for name in names if (x := BLOCK.match(name))}
    if blocks and max(blocks) + 1 != sizes["num_hidden_layers"]:
        raise wrong("num_hidden_layers", sizes["num_hidden_layers"], f"the weights have blocks 0 to {max(blocks)}")
    tied = config.get("tie_word_embeddings")
    if embedding is None or tied is None or {"lm_head.weight", embedding} & (replaced or set()):
        return
    if not tied and "lm_head.weight" not in names:
        raise wrong("tie_word_embeddings", "false", "there is no lm_head.weight")
    if tied and "lm_head.weight" in names and not _same(tensors, embedding, "lm_head.weight"):
        raise wrong("tie_word_embeddings", "true", f"lm_head.weight differs from {embedding}")


def _same(tensors: Tensors, one: str, other: str) -> bool:
    """Whether two matrices agree in rows spread over all of them."""
    first, second = tensors.rows(one), tensors.rows(other)
    rows = np.unique(np.linspace(0, first.n_rows - 1, COMPARED_ROWS).astype(int))
    return all(np.array_equal(first.read(i, i + 1), second.read(i, i + 1)) for i in rows.tolist())
