"""One Engram layer as the demo's modules hold it; engram-peft, TinyEngram and the demo differ in names and biases."""

from dataclasses import dataclass

import numpy as np

from engram_local.config import LayerConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.tensors import TensorRows, Tensors
from engram_local.tools.checkpoints.view import LayerWeights

GATE_EPS = float(np.finfo(np.float32).eps)  # torch's RMSNorm without eps, which it computes in float32
CONV_EPS = 1e-5
TABLE = "multi_head_embedding.embedding.weight"
OFFSETS = "multi_head_embedding.offsets"
CONV = "short_conv.conv.weight"


@dataclass(frozen=True)
class Names:
    """Module names below a layer's prefix; {} is the stream."""

    key: str
    value: str
    norm_key: str
    norm_query: str
    norm_conv: str = "short_conv.norms.{}"


ENGRAM_PEFT = Names("gating.w_k.{}", "gating.w_v", "gating.norm_k.{}", "gating.norm_h.{}")
DEMO = Names("key_projs.{}", "value_proj", "norm1.{}", "norm2.{}")


def read_layer(tensors: Tensors, prefix: str, names: Names, config: LayerConfig, d: int) -> LayerWeights:
    """The dense weights below `prefix` (which ends in a dot), checked against `config` and the hidden size `d`.

    Raises CheckpointError for a tensor that is missing, of another shape, not finite, or not known to the layout, and
    for offsets that are not the ones of `config`.
    """
    used = {prefix + TABLE, prefix + OFFSETS}

    def get(name: str) -> np.ndarray:
        used.add(prefix + name)
        return tensors.numpy(prefix + name)

    def get_bias(module: str) -> np.ndarray | None:
        return get(f"{module}.bias") if f"{prefix}{module}.bias" in tensors else None

    def streams(module: str) -> list[np.ndarray]:
        return [get(f"{module.format(m)}.weight") for m in range(config.streams)]

    key_biases = [x for m in range(config.streams) if (x := get_bias(names.key.format(m))) is not None]
    weights = LayerWeights(
        key_proj=_join(np.concatenate, streams(names.key), f"{tensors.path}: {prefix}{names.key}"),
        key_bias=np.concatenate(key_biases) if key_biases else None,
        value_proj=get(f"{names.value}.weight"),
        value_bias=get_bias(names.value),
        norm_key=_join(np.stack, streams(names.norm_key), f"{tensors.path}: {prefix}{names.norm_key}"),
        norm_query=_join(np.stack, streams(names.norm_query), f"{tensors.path}: {prefix}{names.norm_query}"),
        gate_eps=GATE_EPS,
        norm_conv=_join(np.stack, streams(names.norm_conv), f"{tensors.path}: {prefix}{names.norm_conv}"),
        conv_weight=get(CONV),
        conv_bias=get_bias("short_conv.conv"),
        conv_eps=CONV_EPS,
    )
    weights.check(f"{tensors.path}: {prefix[:-1]}", d, config.streams, config.row_width, config.conv.kernel)
    unknown = sorted(x for x in tensors.names() if x.startswith(prefix) and x not in used)
    if unknown:
        raise CheckpointError(
            f"{tensors.path}: holds {unknown[0]!r}, which a layer of {config.streams} streams does not have; the "
            "config is not this checkpoint's, or the checkpoint was made by another version"
        )
    expected = [x for order in config.orders for x in order.offsets]
    found = tensors.numpy(prefix + OFFSETS).ravel().tolist()
    if found != expected:
        raise CheckpointError(
            f"{tensors.path}: {prefix}{OFFSETS} is {_short(found)}, its config makes {_short(expected)}: the head "
            "sizes were drawn from other numbers, and every row would be wrong; give the config it was trained with"
        )
    return weights


def read_table(tensors: Tensors, prefix: str) -> TensorRows:
    """Rows of a layer's table. Raises CheckpointError."""
    return tensors.rows(prefix + TABLE)


def _join(how, arrays: list[np.ndarray], name: str) -> np.ndarray:
    if len({x.shape for x in arrays}) > 1:
        raise CheckpointError(f"{name}: its streams have the shapes {', '.join(str(list(x.shape)) for x in arrays)}")
    return how(arrays)


def _short(numbers: list[int]) -> str:
    return f"{str(numbers[:4])[:-1]}, ...]" if len(numbers) > 4 else str(numbers)
