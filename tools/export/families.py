"""Model builders by Hugging Face architecture: onnxruntime-genai's own, and the mixtures of experts that it lacks."""

from onnxruntime_genai import models  # noqa: F401  (puts the package `builders` on the path)

from builders import (  # isort: skip
    Gemma2Model,
    Gemma3Model,
    GemmaModel,
    GraniteModel,
    LlamaModel,
    MistralModel,
    Model,
    Phi3MiniModel,
    Qwen3Model,
    QwenModel,
    SmolLM3Model,
)
from builders.qwen import Qwen35MoETextModel


class RoutedExperts(Model):
    """A feed-forward of routed SwiGLU experts: softmax over all experts, the best k mixed, renormalised or not."""

    def __init__(self, config, io_dtype, onnx_dtype, ep, cache_dir, extra_options):
        super().__init__(config, io_dtype, onnx_dtype, ep, cache_dir, extra_options)
        self.moe_intermediate_size = self.intermediate_size
        self.moe_attrs.update(
            activation_type="swiglu",
            swiglu_fusion=1,
            normalize_routing_weights=getattr(config, "norm_topk_prob", True),
        )

    def get_moe_module(self, layer_id, layer):
        return layer.mlp

    make_moe_router = Qwen35MoETextModel.make_moe_router

    def make_moe_preprocessing(self, layer_id, moe, root_input):
        moe.gate.exclude_from_quantization = True
        self.make_interleaved_swiglu_moe_preprocessing(layer_id, moe)

    def make_moe_subgraph(self, layer_id, moe, root_input):
        self.layernorm_attrs["skip_input"] = self._make_experts(layer_id, root_input)

    def _make_experts(self, layer_id, root_input):
        op_type = self.moe_attrs["op_type"]
        names = self.make_moe_expert_names(layer_id)
        name = f"/model/layers.{layer_id}/moe/{op_type}"
        self.make_moe_op(
            name,
            root_input=root_input,
            router_probs=f"/model/layers.{layer_id}/moe/router/Reshape/output_0",
            weight1=names["gate_up_weight"],
            scales1=names["gate_up_scales"],
            bias1=names["gate_up_bias"],
            weight2=names["down_weight"],
            scales2=names["down_scales"],
            bias2=names["down_bias"],
        )
        return f"{name}/output_0"


class MixtralModel(RoutedExperts, MistralModel):
    pass


class Qwen3MoeModel(RoutedExperts, Qwen3Model):
    pass


class OlmoeModel(RoutedExperts, Qwen3Model):
    pass


class Qwen2MoeModel(RoutedExperts, QwenModel):
    pass


FAMILIES = {
    "GemmaForCausalLM": GemmaModel,
    "Gemma2ForCausalLM": Gemma2Model,
    "Gemma3ForCausalLM": Gemma3Model,
    "GraniteForCausalLM": GraniteModel,
    "LlamaForCausalLM": LlamaModel,
    "MistralForCausalLM": MistralModel,
    "MixtralForCausalLM": MixtralModel,
    "Phi3ForCausalLM": Phi3MiniModel,
    "Qwen2ForCausalLM": QwenModel,
    "Qwen3ForCausalLM": Qwen3Model,
    "Qwen3MoeForCausalLM": Qwen3MoeModel,
    "SmolLM3ForCausalLM": SmolLM3Model,
}
