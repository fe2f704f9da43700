"""Which Hugging Face class a config.json speaks of."""


def loaded_class(config: dict) -> str | None:
    """The class that transformers makes of its model_type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(str(config.get("model_type")))


def architecture(config: dict) -> str:
    """The class that it names. A trainer of Engram layers may have named one of its own (EngramQwenForCausalLM): then,
    and where it names none, the one that transformers makes of it."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    return name if name and "engram" not in name.lower() else loaded_class(config) or name or "none named"
