"""What the reader derives against what the installed engram-peft derives, and LoRA beside the layers."""

import json
import shutil

import numpy as np
import peft
import pytest
import torch
import transformers
from engram_peft import EngramConfig, EngramModel, get_engram_model
from parity.adapters import ENGRAM, VOCAB, make_adapter, prompts, reference_logits, reference_model
from safetensors.torch import load_file, save_file

import engram_local
from engram_local.errors import CheckpointError
from engram_local.hashing import NgramHasher
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.export.folder import export_model

HASHING = {
    "defaults": {},
    "gaps and order": {"ngram_sizes": [5, 2, 4], "engram_vocab_size_per_ngram": [900, 700, 800], "embedding_dim": 96},
    "layers": {"target_layers": [2, 0, 1]},
    "raw": {"enable_tokenizer_compression": False, "target_layers": [0, 2]},
    "seed, pad, heads": {"seed": 12345, "pad_id": 77, "n_head_per_ngram": 8},
    "tokens added": {"added_tokens": ("<tool>", "<think>", " Paris")},
    "sizes below the heads": {"engram_vocab_size_per_ngram": [1, 300]},
}


@pytest.mark.parametrize("options", HASHING.values(), ids=HASHING)
def test_row_ids_are_engram_pefts(adapter_of, options):
    base, adapter = adapter_of("llama", **options)
    view = open_checkpoint(adapter, base)
    hasher = NgramHasher(view.engram, view.token_map)
    model = reference_model(base, adapter)
    assert hasher.vocab_size == VOCAB  # the head's rows beyond the tokenizer, too
    ids = np.concatenate([np.arange(VOCAB), *prompts(vocab=VOCAB)])
    compressed = model.compressor.compress(ids) if model.compressor else ids
    expected = model.hash_mapping.hash(compressed[None])
    for layer in view.engram.layers:
        offsets = model.engram_layers[str(layer.layer_id)].multi_head_embedding.offsets.numpy()
        found = hasher.row_ids(ids, layer.layer_id)
        np.testing.assert_array_equal(found, expected[layer.layer_id][0] + offsets)


def test_a_layers_own_mapping_is_not_taken(adapter_of):
    """Trap: EngramLayer.hash_mapping draws the head sizes of its layer alone."""
    base, adapter = adapter_of("llama", target_layers=[2, 0, 1])
    own = reference_model(base, adapter).engram_layers["2"].hash_mapping.prime_tables[2]
    view = open_checkpoint(adapter, base)
    assert [list(order.moduli) for order in view.engram.layer(2).orders] != own


def test_base_that_the_adapter_names(adapter_of):
    base, adapter = adapter_of("llama")
    assert open_checkpoint(adapter).base == base


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    """(base, adapter) with LoRA on two projections beside the Engram layers, none of it zero."""
    folder = tmp_path_factory.mktemp("lora")
    base, _ = make_adapter(folder, "qwen3")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    engram = get_engram_model(model, EngramConfig(**ENGRAM), tokenizer=tokenizer, wrap_peft=True)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in engram.named_parameters():
            if "lora_" in name or "adapters" in name:
                weight.add_(0.2 * torch.randn_like(weight))
    engram.save_pretrained(str(folder / "both"))
    return base, folder / "both"


def test_lora_is_merged(lora, tmp_path):
    base, adapter = lora
    export_model(adapter, tmp_path / "model", base=base, tables="float32", weights="float32")
    with engram_local.load(tmp_path / "model", threads=1) as model:
        for ids in prompts():
            expected = reference_logits(base, adapter, ids)
            np.testing.assert_allclose(model.session().forward(ids, logits="all"), expected, rtol=0, atol=2e-4)
        without = model.session(memory=False).forward(ids, logits="all")
        assert np.abs(without - reference_logits(base, None, ids, memory=False)).max() > 0.1  # the LoRA's own part


def damaged(lora, tmp_path, change):
    base, adapter = lora
    folder = tmp_path / "damaged"
    shutil.copytree(adapter, folder)
    change(folder)
    with pytest.raises(CheckpointError) as error:
        export_model(folder, tmp_path / "model", base=base)
    assert "\n" not in str(error.value)
    assert [x.name for x in tmp_path.iterdir()] == ["damaged"]
    return str(error.value)


def test_lora_that_lacks_a_tensor(lora, tmp_path):
    def change(folder):
        tensors = load_file(folder / "adapter_model.safetensors")
        del tensors[next(iter(tensors))]
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})

    assert "cannot be merged" in damaged(lora, tmp_path, change)


def test_what_peft_cannot_merge(lora, tmp_path):
    def change(folder):
        config = peft.PromptTuningConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=4, base_model_name_or_path=str(lora[0])
        )
        model = transformers.AutoModelForCausalLM.from_pretrained(lora[0])
        peft.get_peft_model(model, config).save_pretrained(folder)

    assert "merge it into the base model with peft" in damaged(lora, tmp_path, change)


def test_lora_of_another_shape(lora, tmp_path):
    def change(folder):
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | {"r": 8}))

    assert "cannot be merged" in damaged(lora, tmp_path, change)


def test_reference_is_what_a_user_loads(adapter_of):
    """reference_logits goes by engram-peft's own documented way in."""
    base, adapter = adapter_of("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    model = EngramModel.from_pretrained(model, str(adapter), tokenizer=tokenizer).eval()
    ids = prompts()[0]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor(ids)[None]).logits[0].numpy()
    np.testing.assert_allclose(reference_logits(base, adapter, ids), expected, rtol=0, atol=1e-5)
