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
    from_file: list[tuple[str, Sequence[int]]] = [*folder.eos_ids_by_file().items()]
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
    """The control token that the template writes behind an answer; none where it writes none, or fails, or begins
    answers with the same."""
    if tokenizer.template is None:
        return []
    question, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": _PROBE}
    try:
        turn = tokenizer.template.render([question, answer], add_generation_prompt=False)
        opening = tokenizer.template.render([question])
    except ModelFolderError:
        return []
    _, found, behind = turn.rpartition(_PROBE)
    longest_first = sorted(tokenizer.control_ids, key=len, reverse=True)
    token = next((x for x in longest_first if found and behind.lstrip().startswith(x)), None)
    last_of_opening = max(tokenizer.control_ids, key=opening.rfind, default=None)
    return [] if token in (None, last_of_opening) else [tokenizer.control_ids[token]]
