"""A LoRA that trained embedding or head of its own on a base that ties the two: what was trained is exported."""

import numpy as np
import peft
import pytest
import torch
import transformers
from parity.adapters import make_adapter, prompts, reference_logits

import engram_local
from engram_local.tools.export.folder import export_model


@pytest.mark.parametrize("saved", [["embed_tokens", "lm_head"], ["lm_head"]])
@pytest.mark.parametrize("backend", ["onnx", "gguf"])
def test_the_trained_head_is_there(tmp_path, saved, backend):
    if backend == "gguf":
        pytest.importorskip("llama_cpp")
    base, adapter = make_adapter(tmp_path, "qwen3", base_options={"tie_word_embeddings": True})
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=saved))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in lora.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                weight.add_(0.1 * torch.randn_like(weight))
    lora.save_pretrained(adapter)
    export_model(adapter, tmp_path / "model", base=base, backend=backend, tables="float32", weights="float32")
    ids = prompts(1)[0]
    expected = reference_logits(base, adapter, ids)
    options = {"threads": 1} | ({"kv_type": "float32"} if backend == "gguf" else {})
    with engram_local.load(tmp_path / "model", **options) as loaded:
        assert np.abs(loaded.session().forward(ids, "all") - expected).max() < 1e-2
