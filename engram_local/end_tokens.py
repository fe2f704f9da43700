"""Tokens that end an answer: the union of all that a model's files say, for each of them may be silent or wrong."""

from collections.abc import Sequence

from engram_local.errors import ModelFolderError
from engram_local.graph_names import GGUF_FILE
from engram_local.model_folder import ModelFolder
from engram_local.tokenization import Tokenizer

_PROBE = "engram-probe"


def end_tokens(folder: ModelFolder, tokenizer: Tokenizer, of_backbone: Sequence[int]) -> dict[int, list[str]]:
    """{token id: where it stands}, in generation_config.json, config.json, tokenizer_config.json, behind an answer in
    the chat template, and in backbone.gguf where that is what runs (`of_backbone`: see Backend.end_ids)."""
    from_file = [*folder.eos_ids_by_file().items()]
    from_file.append((tokenizer.source, tokenizer.end_ids()))
    if tokenizer.source != GGUF_FILE:
        from_file.append((GGUF_FILE, of_backbone))
    from_file.append(("chat template", template_end_ids(tokenizer)))
    found: dict[int, list[str]] = {}
    for name, ids in from_file:
        for i in ids:
            found.setdefault(i, []).append(name)
    return found


def template_end_ids(tokenizer: Tokenizer) -> list[int]:
    """The control token that the template writes behind an answer; none where it writes none, or fails."""
    if tokenizer.template is None:
        return []
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _PROBE}]
    try:
        text = tokenizer.template.render(messages, add_generation_prompt=False)
    except ModelFolderError:
        return []
    _, found, behind = text.rpartition(_PROBE)
    longest_first = sorted(tokenizer.control_ids, key=len, reverse=True)
    token = next((x for x in longest_first if found and behind.lstrip().startswith(x)), None)
    return [] if token is None else [tokenizer.control_ids[token]]
