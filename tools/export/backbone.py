"""Loads and checks the backbone of a checkpoint with transformers, before anything is written."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch

from engram_local.errors import CheckpointError
from engram_local.tools.checkpoints.architecture import architecture, loaded_class
from engram_local.tools.checkpoints.tensors import read_json
from engram_local.tools.checkpoints.view import CheckpointView


def check_family(base: Path) -> None:
    """Raises CheckpointError where no builder is known for the architecture of `base`."""
    from engram_local.tools.export.families import FAMILIES

    config = read_json(base / "config.json")
    name = architecture(config)
    if name not in FAMILIES or name != loaded_class(config):
        raise CheckpointError(
            f"{base / 'config.json'}: architecture {name[:60]} cannot be exported as ONNX; known: "
            f"{', '.join(sorted(x.removesuffix('ForCausalLM') for x in FAMILIES))}. Others can be "
            "traced (--via torch); a GGUF of it takes the layers: engram-local attach, or --backend gguf"
        )


def context_length(base: Path) -> int:
    """Tokens that backbone.onnx of `base` serves: longrope has other frequencies beyond its original length."""
    import transformers

    return context_length_of(
        transformers.AutoConfig.from_pretrained(str(base), local_files_only=True, trust_remote_code=False)
    )


def context_length_of(config: Any) -> int:
    """The same, of a transformers config."""
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        return min(config.max_position_embeddings, rope["original_max_position_embeddings"])
    return config.max_position_embeddings


def load_backbone(view: CheckpointView) -> torch.nn.Module:
    """The transformers causal LM in its stored precision. Every weight must come from the files, none from chance."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            str(view.base), local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as e:
        raise CheckpointError(
            f"{view.base}: the base model cannot be loaded ({type(e).__name__}: {str(e).splitlines()[0][:160]})"
        ) from e
    problems = sorted(info["missing_keys"]) + [str(k) for k in info.get("mismatched_keys", ())]
    if problems:
        raise CheckpointError(
            f"{view.base}: tensor {problems[0]} is missing or of another shape; download the base again"
        )
    if view.lora is not None:
        model = _merge_lora(model.float(), view.lora)
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise CheckpointError(f"{view.base}: {name} holds NaN or infinity; the training run diverged")
    return model.eval()


def _merge_lora(model: torch.nn.Module, path: Path) -> torch.nn.Module:
    try:
        import peft
    except ImportError as e:
        raise CheckpointError(f"{path}: holds a LoRA adapter; install peft to merge it (pip install peft)") from e
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*missing adapter keys.*")  # peft would go on with random ones
            merged = peft.PeftModel.from_pretrained(model, str(path)).merge_and_unload(safe_merge=True)
    except Exception as e:
        raise CheckpointError(
            f"{path}: its LoRA adapter cannot be merged ({type(e).__name__}: {' '.join(str(e).split())[:160]}); "
            "merge it into the base model with peft and give the result as --base"
        ) from e
    # An adapter may have trained embedding or head of their own (modules_to_save) where the base ties the two.
    embedding, head = merged.get_input_embeddings().weight, merged.get_output_embeddings().weight
    if merged.config.tie_word_embeddings and not torch.equal(embedding, head):
        merged.config.tie_word_embeddings = False
    return merged
