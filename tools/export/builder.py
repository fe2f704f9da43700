"""The only file that touches the private interface of onnxruntime-genai's model builder (0.18).

Engram layers are added while the builder emits the backbone: at the start of block k the hidden state is the sum of
the residual and the last block's output; the layer is built on that sum, and block k goes on from its result as if it
were the first block. So every family that uses the builder's own residual bookkeeping can carry Engram layers.
"""

import contextlib
import copy
import io
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

from engram_local import graph_names
from engram_local.config import LayerConfig
from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.view import LayerWeights, SummedWeights
from engram_local.tools.export.families import FAMILIES, WINDOWED, GemmaModel
from engram_local.tools.export.inject import Switch, add_layer, feed_lengths
from engram_local.tools.export.inputs import InputMoments, MomentsByName
from engram_local.tools.export.layer import WEIGHT_BITS, layer_inputs
from engram_local.tools.export.nbits import quantize_graph


class EngramBuilder(MomentsByName):
    """Mixed in before a family's builder class."""

    engram: dict[int, tuple[LayerConfig, LayerWeights | SummedWeights]]
    engram_bits: int
    torch_model: torch.nn.Module
    rows_selected = False

    def __init__(self, *args):
        self.kept_matmuls: set[str] = set()  # names of MatMuls that are not to be quantized
        super().__init__(*args)
        if isinstance(self, GemmaModel):  # the builder rounds it to two decimals
            self.embed_attrs["scale"] = self.hidden_size**0.5

    def make_inputs_and_outputs(self):
        for shapes, when in ((self.input_shapes, "past_key_values"), (self.output_shapes, "present")):
            for kind in ("key", "value"):
                shapes[f"{when}.{kind}"][-1] = self.head_size
        super().make_inputs_and_outputs()
        graph = self.model.graph
        rows = graph_names.LOGITS_ROWS
        graph.inputs.append(self.make_value(rows, ir.DataType.INT64, [rows]))
        self._layer_inputs = {}
        if self.engram:
            enabled = self.make_value(graph_names.ENABLED, ir.DataType.BOOL, ["batch_size"])
            graph.inputs.append(enabled)
            self._switch = Switch(enabled, graph)
            graph.extend(self._switch.nodes)
        for layer_id, (config, _) in self.engram.items():
            inputs = self._layer_inputs[layer_id] = layer_inputs(config, self.hidden_size)
            graph.inputs.extend(v for v in inputs if v is not None)

    def make_layer(self, layer_id, layer):
        if layer_id in self.engram:
            self.make_engram(layer_id)
        super().make_layer(layer_id, layer)

    def make_engram(self, layer_id):
        config, weights = self.engram[layer_id]
        shape = self.make_hidden_state_shape()
        hidden = self.layernorm_attrs["root_input"]
        if not self.layernorm_attrs["first_layernorm"]:
            name = f"/model/layers.{layer_id}/engram/Add"
            self.make_add(name, [hidden, self.layernorm_attrs["skip_input"]], ir.DataType.FLOAT, shape)
            hidden = f"{name}/output_0"
        hidden = self.values[hidden]
        rows, past = self._layer_inputs[layer_id]

        out = self.make_value(f"/model/layers.{layer_id}/engram/hidden", ir.DataType.FLOAT, shape)
        add_layer(
            self.model.graph, self._switch, config, weights, self.engram_bits, hidden, out, rows, past, self.hidden_size
        )
        # Block k starts a residual stream of its own, as the first block does.
        self.layernorm_attrs.update(root_input=out.name, skip_input=out.name, first_layernorm=True)

    def make_rope_init(self, config):
        pass  # the frequencies come from the torch model

    def make_attention_qk_rope(self, layer_id, **kwargs):
        """Names of the caches that GroupQueryAttention rotates this layer's queries and keys with: made of the torch
        model's own frequencies, however they are scaled. Empty for a layer without positions.
        """
        if not self.attention_attrs["use_rope_in_attn"]:
            return "", ""
        rotary, kind = self.torch_model.model.rotary_emb, ""
        if not hasattr(rotary, "inv_freq"):  # frequencies of their own for each kind of layer
            kind = f"{self.torch_model.config.layer_types[layer_id]}_"
        names = f"{kind}cos_cache", f"{kind}sin_cache"
        if names[0] not in self.values:
            positions = torch.arange(self.context_length, dtype=torch.float32)
            angles = torch.outer(positions, getattr(rotary, f"{kind}inv_freq").float())
            scale = getattr(rotary, f"{kind}attention_scaling")
            self.make_initializer(angles.cos() * scale, names[0])
            self.make_initializer(angles.sin() * scale, names[1])
        return names

    # Only the rows that `logits_rows` names go through the last feed-forward, the final norm and the head.
    def prunes_hidden_rows(self):
        return True

    def make_selected_hidden_rows(self):
        if self.rows_selected:
            return
        self.rows_selected = True
        shape = ["batch_size", "logits_rows", self.hidden_size]
        for key in ("root_input", "skip_input"):
            name = f"/model/selected_rows/{key}/Gather"
            self.make_gather(name, [self.layernorm_attrs[key], "logits_rows"], ir.DataType.FLOAT, shape, axis=1)
            self.layernorm_attrs[key] = f"{name}/output_0"

    def exclude_node_from_quantization(self, basename):
        self.kept_matmuls.add(basename)

    def has_lm_head(self, module):
        # The builder would take any linear layer with as many outputs as the vocabulary for the head.
        return module is self.weights.lm_head


def build(
    model: torch.nn.Module,
    engram: dict[int, tuple[LayerConfig, LayerWeights | SummedWeights]],
    weights: str,
    scratch: Path,
    tokens: np.ndarray | None = None,
) -> ir.Model:
    """The backbone of `model` (a transformers causal LM) as an ONNX graph with its Engram layers inside.

    `weights` is float32, float16 (built as float32), int8 or int4; `scratch` is a folder the builder may write to;
    `tokens` int64 [n] is a text that int4 is rounded for, by default one that the model writes; an empty one: as if all
    inputs were alike.
    """
    bits = WEIGHT_BITS[weights]
    config = copy.deepcopy(model.config)
    name = type(model).__name__
    family = FAMILIES[name]
    if name in WINDOWED and config.sliding_window is not None:
        config.layer_types = ["sliding_attention"] * config.num_hidden_layers
    options = {
        "hf_token": None,
        "windowed_kv_cache": False,
        "shared_embeddings": bool(config.tie_word_embeddings),
        "fuse_mlp_gate_up": True,
        "moe_quant_type": "none" if bits >= 16 else f"int{bits}",
    }
    inputs = InputMoments(model, tokens) if bits == 4 and (tokens is None or len(tokens)) else None
    cls = type(
        f"Engram{family.__name__}",
        (EngramBuilder, family),
        {"engram": engram, "engram_bits": bits, "torch_model": model, "inputs": inputs},
    )
    for weight in model.parameters():
        if weight.ndim == 1:  # Gemma's norms get 1 added, which bfloat16 would round
            weight.data = weight.data.float()
    try:
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            built = cls(config, ir.DataType.FLOAT, ir.DataType.FLOAT, "cpu", str(scratch), options)
            built.load_weights = lambda _: model
            built.make_model("")
    except (RuntimeError, ValueError, KeyError, AttributeError, AssertionError) as e:
        raise CheckpointError(
            f"{name}: the ONNX builder cannot express this config ({type(e).__name__}: {str(e)[:160]}); "
            "use --backend gguf, or another base model"
        ) from e
    if bits < 16:
        quantize_graph(built.model.graph, bits, built.kept_matmuls, built.moments)
    logits = next(x for x in built.model.graph.outputs if x.name == graph_names.LOGITS)
    logits.shape = ir.Shape(["batch_size", graph_names.LOGITS_ROWS, built.vocab_size])
    feed_lengths(built.model.graph)
    built.model.graph.sort()
    return built.model
