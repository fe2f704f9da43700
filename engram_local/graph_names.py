"""Names of a graph's inputs, outputs and files: the contract between tools/export and backends/."""

import re
from collections.abc import Iterable

ONNX_FILE = "backbone.onnx"
ONNX_DATA_FILE = "backbone.onnx.data"  # its weights
GGUF_FILE = "backbone.gguf"
GGUF_LINK_FILE = "backbone.link.json"  # in place of it: where the GGUF, or its parts, lie
INPUT_IDS = "input_ids"
LAST_POSITIONS = "seqlens_k"  # of each sequence: what it has with this chunk, less one (GroupQueryAttention's own name)
TOTAL_LENGTH = "total_sequence_length"  # of the longest, with this chunk
LOGITS_ROWS = "logits_rows"  # positions of a chunk whose logits are wanted
LOGITS = "logits"
ENABLED = "engram_enabled"  # a sequence's own switch
HIDDEN = "hidden"  # of a layer's own graph: the residual that enters the block
HIDDEN_OUT = "hidden_out"


def layer_file(layer_id: int) -> str:
    """The layer's own graph, run beside a GGUF backbone."""
    return f"engram_layer_{layer_id}.onnx"


def rows(layer_id: int) -> str:
    """Input: the rows that the layer takes in."""
    return f"engram_rows_{layer_id}"


def past_conv(layer_id: int) -> str:
    """Input: what the layer's convolution saw last."""
    return f"past_engram_conv_{layer_id}"


def present_conv(layer_id: int) -> str:
    """Output: what it takes in now."""
    return f"present_engram_conv_{layer_id}"


def gated(layer_id: int) -> str:
    """Output: what the layer's gate let through of its value, for each stream."""
    return f"engram_gated_{layer_id}"


def value(layer_id: int) -> str:
    """Output: the value itself. With `gated` it tells how far the gate opened."""
    return f"engram_value_{layer_id}"


def past_kv(block: int, part: str) -> str:
    """Input: keys or values of one block; `part` is "key" or "value"."""
    return f"past_key_values.{block}.{part}"


def present_kv(block: int, part: str) -> str:
    """Output: the same, with the new tokens'."""
    return f"present.{block}.{part}"


def count_blocks(names: Iterable[str]) -> int:
    """How many blocks' keys a graph with these inputs takes."""
    found = (re.fullmatch(r"past_key_values\.(\d+)\.key", x) for x in names)
    return max((int(x[1]) + 1 for x in found if x), default=0)
