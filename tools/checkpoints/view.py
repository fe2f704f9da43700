"""What every checkpoint reader yields: the backbone's folder, the "engram" block as data, and each layer's weights.

Nothing here knows a layout (the readers beside this file do) or a backend (tools/export does).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from engram_local.config import EngramConfig
from engram_local.errors import CheckpointError
from engram_local.tables.links import Place

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
)
KEPT_FILES = ("NOTICE", "LICENSE", "LICENSE.txt")  # what others ask to be shipped with their work


class RowSource(Protocol):
    """A table that is read front to back in blocks, so that its size does not matter."""

    n_rows: int
    dim: int
    # Where rows lie that can be read in place, as tables/links.py's write_link takes it; nowhere elsewhere.
    parts: Sequence[Place] = ()
    scales: Sequence[Place] = ()
    scale: float = 1.0
    is_foreign: bool = False  # whether the checkpoint only names them: then they are read in place, never converted

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as float32 [stop - start, dim]."""
        ...


@dataclass(frozen=True)
class LayerWeights:
    """One layer's dense weights, all float32. M streams, width d, row width E, C = M * d, conv kernel K."""

    key_proj: np.ndarray  # [M * d, E]
    value_proj: np.ndarray  # [d, E]
    norm_key: np.ndarray  # [M, d]
    norm_query: np.ndarray  # [M, d]
    gate_eps: float
    key_bias: np.ndarray | None = None  # [M * d]
    value_bias: np.ndarray | None = None  # [d]
    norm_conv: np.ndarray | None = None  # [M, d]; None where the layer has no convolution
    conv_weight: np.ndarray | None = None  # [C, 1, K]
    conv_bias: np.ndarray | None = None  # [C]
    conv_eps: float = 0.0

    @property
    def n_values(self) -> int:
        """Numbers in its projections, about all that it has."""
        return self.key_proj.size + self.value_proj.size

    def check(self, name: str, d: int, streams: int, row_width: int, kernel: int | None) -> None:
        """Raise CheckpointError naming the first tensor whose shape or values do not fit."""
        c = streams * d
        expected = {
            "key_proj": (c, row_width),
            "value_proj": (d, row_width),
            "norm_key": (streams, d),
            "norm_query": (streams, d),
            "key_bias": (c,),
            "value_bias": (d,),
            "norm_conv": (streams, d),
            "conv_weight": (c, 1, kernel),
            "conv_bias": (c,),
        }
        for key, shape in expected.items():
            array = getattr(self, key)
            if array is None:
                continue
            if array.shape != shape:
                raise CheckpointError(
                    f"{name}: {key} has shape {list(array.shape)}, its config asks for {list(shape)}; "
                    "the checkpoint and its config do not belong together"
                )
            if not np.isfinite(array).all():
                raise CheckpointError(f"{name}: {key} holds NaN or infinity; the training run diverged")


@dataclass(frozen=True)
class SummedWeights:
    """A layer that is added to the input embedding: word_scale * embedding + rows_scale * (value_proj @ rows)."""

    value_proj: np.ndarray  # float32 [d, E]
    word_scale: float = 1.0
    rows_scale: float = 1.0

    @property
    def n_values(self) -> int:
        """Numbers in its projection."""
        return self.value_proj.size


@dataclass(frozen=True)
class CheckpointView:
    """A checkpoint as the exporters see it. `engram` carries encoding float32 and the model folder's table names;
    the exporter replaces the encoding. `token_map` is int32 [vocab], None where raw token ids are hashed.
    """

    layout: str
    path: Path
    base: Path  # Hugging Face folder: config, tokenizer and backbone weights
    engram: EngramConfig
    token_map: np.ndarray | None
    layers: dict[int, LayerWeights] | dict[int, SummedWeights]
    tables: dict[int, RowSource]
    lora: Path | None = None  # a peft adapter to be merged into the backbone
    overrides: dict = field(default_factory=dict)  # backbone tensors that replace the base's own, by name
    prefixes: tuple[str, ...] = ("engram.",)  # of tensors in `base` that are no part of the backbone


def table_name(layer_id: int) -> str:
    """The table's path inside a model folder."""
    return f"tables/layer_{layer_id}.safetensors"


def iter_blocks(source: RowSource, n: int, start: int = 0) -> Iterator[np.ndarray]:
    """Blocks of at most n rows from row `start` to the end."""
    for i in range(start, source.n_rows, n):
        yield source.read(i, min(i + n, source.n_rows))
