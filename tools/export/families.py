"""Model builders by Hugging Face architecture: onnxruntime-genai's own, and the mixtures of experts that it lacks."""

from onnxruntime_genai import models  # noqa: F401  (puts the package `builders` on the path)

from builders import (  # isort: skip
    ErnieModel,
    Gemma2Model,
    GemmaModel,
    GraniteModel,
    LlamaModel,
    MistralModel,
    Model,
    NemotronModel,
    Phi3MiniModel,
    Qwen3Model,
    QwenModel,
    SmolLM3Model,
)
from builders.qwen import Qwen35MoETextModel


class Gemma3Model(Gemma2Model):
    """onnxruntime-genai's own reads the local frequencies from a key that transformers 5 has not; EngramBuilder takes
    them from the torch model.
    """

    def make_attention_init(self, config):
        self.attention_attrs["q_norm"] = self.attention_attrs["k_norm"] = True
        super().make_attention_init(config)


class RoutedExperts(Model):
    """A feed-forward of routed SwiGLU experts: softmax over all experts, the best k mixed, renormalised or not."""

    def __init__(self, config, io_dtype, onnx_dtype, ep, cache_dir, extra_options):
        super().__init__(config, io_dtype, onnx_dtype, ep, cache_dir, extra_options)
        self.moe_intermediate_size = self.intermediate_size
        self.moe_attrs.update(
            activation_type="swiglu",
            swiglu_fusion=1,
            normalize_routing_weights=True,
        )
        self.renormalized = getattr(config, "norm_topk_prob", True)

    def get_moe_module(self, layer_id, layer):
        return layer.mlp

    make_moe_router = Qwen35MoETextModel.make_moe_router

    def make_moe(self, layer_id, moe, root_input):
        if hasattr(moe, "experts"):
            super().make_moe(layer_id, moe, root_input)
        else:  # a block that config.json leaves dense
            self.make_mlp(layer_id, moe, root_input)

    def make_moe_preprocessing(self, layer_id, moe, root_input):
        moe.gate.exclude_from_quantization = True
        self.make_interleaved_swiglu_moe_preprocessing(layer_id, moe)

    def make_moe_subgraph(self, layer_id, moe, root_input):
        self.layernorm_attrs["skip_input"] = self._make_experts(layer_id, root_input)

    def _make_experts(self, layer_id, root_input):
        op_type = self.moe_attrs["op_type"]
        names = self.make_moe_expert_names(layer_id)
        name = f"/model/layers.{layer_id}/moe/{op_type}"
        router = f"/model/layers.{layer_id}/moe/router/Reshape/output_0"
        self.make_moe_op(
            name,
            root_input=root_input,
            router_probs=router,
            weight1=names["gate_up_weight"],
            scales1=names["gate_up_scales"],
            bias1=names["gate_up_bias"],
            weight2=names["down_weight"],
            scales2=names["down_scales"],
            bias2=names["down_bias"],
        )
        if self.renormalized:
            return f"{name}/output_0"
        share, shape = self._make_top_share(layer_id, router), self.make_hidden_state_shape()
        self.make_mul(f"{name}/Mul", [f"{name}/output_0", share], self.io_dtype, shape)
        return f"{name}/Mul/output_0"

    def _make_top_share(self, layer_id, router):
        """[S, 1]: what the best k experts hold of all experts' probability. QMoE's kernel for the CPU renormalises the
        k whatever its attribute says, so their mixture is scaled back.
        """
        name = f"/model/layers.{layer_id}/moe/top_share"
        rows, k = self.make_moe_router_shape()[0], self.moe_attrs["top_k"]
        constants = f"/model/constants/INT64/[{k}]", "/model/constants/INT64/[-1]"
        for op_type, inputs, outputs, width, attributes in (
            ("Softmax", [router], ["all"], self.moe_attrs["num_experts"], {"axis": -1}),
            ("TopK", [f"{name}/all", constants[0]], ["best", "which"], k, {"axis": -1}),
            ("ReduceSum", [f"{name}/best", constants[1]], ["share"], 1, {"keepdims": 1}),
        ):
            outputs = [f"{name}/{x}" for x in outputs]
            self.make_node(op_type, inputs, outputs, name=f"{name}/{op_type}", **attributes)
            self.make_value(outputs[0], self.io_dtype, [rows, width])
        return f"{name}/share"


class MixtralModel(RoutedExperts, MistralModel):
    pass


class Qwen3MoeModel(RoutedExperts, Qwen3Model):
    pass


class WideNorms(Qwen3Model):
    def make_qk_norm(self, layer_id, attention):
        """One norm over all heads together, where Qwen3 has one over each head."""
        for part, width in (("q", self.q_size), ("k", self.kv_size)):
            weight = f"model.layers.{layer_id}.attn.{part}_norm.weight"
            self.make_initializer(getattr(attention, f"{part}_norm").weight, weight, to=self.io_dtype)
            name = f"/model/layers.{layer_id}/attn/{part}_norm/SimplifiedLayerNormalization"
            inputs, output = [self.attention_attrs[f"{part}_path"], weight], f"{name}/output_0"
            epsilon = self.layernorm_attrs["epsilon"]
            self.make_node("SimplifiedLayerNormalization", inputs, [output], name=name, epsilon=epsilon, axis=-1)
            self.make_value(output, self.io_dtype, ["batch_size", "sequence_length", width])
            self.attention_attrs[f"{part}_path"] = output


class OlmoeModel(RoutedExperts, WideNorms):
    def __init__(self, config, *args):
        if config.clip_qkv is not None:
            raise NotImplementedError(f"clip_qkv is {config.clip_qkv}")
        super().__init__(config, *args)


class Olmo2Model(WideNorms):
    """Norms behind attention and feed-forward, none before them; Olmo 3 has windows in most blocks."""

    def make_layer(self, layer_id, layer):
        attrs = self.layernorm_attrs
        hidden = attrs["root_input"]
        if not attrs["first_layernorm"]:
            hidden = self._add(f"/model/layers.{layer_id}/input/Add", hidden, attrs["skip_input"])
        attrs["root_input"] = hidden
        self.make_attention(layer_id, layer.self_attn, root_input=hidden)
        if layer_id == self.num_layers - 1 and self.prunes_hidden_rows():
            self.make_selected_hidden_rows()
        normed = self._norm(layer_id, layer.post_attention_layernorm, "post_attention")
        hidden = self._add(f"/model/layers.{layer_id}/attention/Add", attrs["root_input"], normed)
        self.make_mlp(layer_id, layer.mlp, root_input=hidden)
        normed = self._norm(layer_id, layer.post_feedforward_layernorm, "post_feedforward")
        attrs.update(root_input=hidden, skip_input=normed, first_layernorm=False)
        if layer_id == self.num_layers - 1:
            attrs["last_layernorm"] = True

    def _norm(self, layer_id, norm, location):
        """The norm of what the block made last; the residual stays the root."""
        root = self.layernorm_attrs["root_input"]
        self.layernorm_attrs["root_input"] = self.layernorm_attrs["skip_input"]
        self.make_layernorm(layer_id, norm, skip=False, simple=True, location=location)
        self.layernorm_attrs["root_input"] = root
        return self.layernorm_attrs["output_0"]

    def _add(self, name, a, b):
        self.make_add(name, [a, b], self.io_dtype, self.make_hidden_state_shape())
        return f"{name}/output_0"


class Qwen2MoeModel(RoutedExperts, QwenModel):
    def __init__(self, config, *args):
        super().__init__(config, *args)
        self.shared_expert_intermediate_size = config.shared_expert_intermediate_size

    make_shared_expert = Qwen35MoETextModel.make_shared_expert

    def make_moe_subgraph(self, layer_id, moe, root_input):
        """The routed experts and, behind a gate of its own, one that every token goes through."""
        routed = self._make_experts(layer_id, root_input)
        moe.shared_expert_gate.exclude_from_quantization = True
        shared, gate = self.make_shared_expert(layer_id, moe.shared_expert, moe.shared_expert_gate, root_input)
        name = f"/model/layers.{layer_id}/moe/GatedAdd"
        self.make_gated_add(
            name, root_input=routed, scaled_input=shared, gate=gate, shape=self.make_hidden_state_shape()
        )
        self.layernorm_attrs["skip_input"] = f"{name}/output_0"


FAMILIES = {
    "Ernie4_5ForCausalLM": ErnieModel,
    "GemmaForCausalLM": GemmaModel,
    "Gemma2ForCausalLM": Gemma2Model,
    "Gemma3ForCausalLM": Gemma3Model,
    "GraniteForCausalLM": GraniteModel,
    "LlamaForCausalLM": LlamaModel,
    "MistralForCausalLM": MistralModel,
    "MixtralForCausalLM": MixtralModel,
    "NemotronForCausalLM": NemotronModel,
    "Olmo2ForCausalLM": Olmo2Model,
    "Olmo3ForCausalLM": Olmo2Model,
    "OlmoeForCausalLM": OlmoeModel,
    "Phi3ForCausalLM": Phi3MiniModel,
    "Qwen2ForCausalLM": QwenModel,
    "Qwen2MoeForCausalLM": Qwen2MoeModel,
    "Qwen3ForCausalLM": Qwen3Model,
    "Qwen3MoeForCausalLM": Qwen3MoeModel,
    "SmolLM3ForCausalLM": SmolLM3Model,
}

# Their sliding window, where config.json has one, is that of every block; the others list each block's kind.
WINDOWED = ("MistralForCausalLM", "MixtralForCausalLM", "Phi3ForCausalLM", "Qwen3MoeForCausalLM")
