"""Answers that keep to a JSON schema: llguidance says which tokens may come next, for either tokenizer."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import llguidance
import numpy as np

from engram_local.errors import BackendError
from engram_local.model import Model
from engram_local.serving.errors import ApiError
from engram_local.serving.tool_calls import CallForm

MAX_SCHEMA = 1 << 16  # characters
# A small model that may write blanks between the parts of a call writes nothing else.
ONE_SPACE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammars:
    """Makes masks for one model. Any thread may use it."""

    def __init__(self, model: Model):
        self.model = model

    @cached_property
    def _tokenizer(self) -> llguidance.LLTokenizer:
        """Takes about a second for a large vocabulary."""
        model, end_ids = self.model, sorted(self.model.eos_ids)
        from engram_local.backends.gguf_tokenizer import GgufTokenizer

        if isinstance(model.tokenizer, GgufTokenizer):
            from llguidance.llamacpp import lltokenizer_from_vocab

            return lltokenizer_from_vocab(model.tokenizer.vocab, n_vocab=model.n_tokens, eos_token=end_ids)
        path = model.folder.path.resolve() / "tokenizer.json"
        return llguidance.LLTokenizer(str(path), n_vocab=model.n_tokens, eos_token=end_ids)

    def of_schema(self, schema: dict[str, Any], param: str) -> str:
        """The grammar of a JSON schema. Raises ApiError 400, naming `param`, for one that is wrong or too large, and
        for a model that no answer of which could end."""
        text = json.dumps(schema)
        return self._checked(llguidance.LLMatcher.grammar_from_json_schema(text), text, param)

    def of_call(self, form: CallForm, functions: Sequence[Mapping[str, Any]], param: str) -> str:
        """The grammar of one call of one of `functions` (name, parameters), as the model's template writes it. Raises
        ApiError 400."""
        calls = [
            {
                "type": "object",
                "properties": {"name": {"const": x["name"]}, form.arguments: x.get("parameters") or {"type": "object"}},
                "required": ["name", form.arguments],
                "additionalProperties": False,
            }
            for x in functions
        ]
        text = json.dumps({"x-guidance": ONE_SPACE, "anyOf": calls})
        parts = [form.opening, "[" if form.listed else "", text, "]" if form.listed else "", form.closing]
        rule = " SPACE ".join(f"%json {x}" if x == text else json.dumps(x) for x in parts if x)
        return self._checked(f"start: {rule}\nSPACE: /[ \\n]?/\n", text, param)

    def _checked(self, grammar: str, text: str, param: str) -> str:
        """`grammar`, made of the schema `text`."""
        if not self.model.eos_ids:
            raise ApiError(400, f"{param}: this model has no token that ends an answer", param=param)
        if len(text) > MAX_SCHEMA:
            raise ApiError(
                400, f"{param}: the schema has {len(text)} characters; give at most {MAX_SCHEMA}", param=param
            )
        problem = llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer)
        if problem:
            raise ApiError(400, f"{param}: {' '.join(problem.split())[:200]}", param=param)
        return grammar

    def mask(self, grammar: str) -> "GrammarMask":
        """A mask at the beginning of an answer."""
        return GrammarMask(llguidance.LLMatcher(self._tokenizer, grammar, log_level=0))


class GrammarMask:
    """One answer's (choice.Mask)."""

    def __init__(self, matcher: llguidance.LLMatcher):
        self._matcher = matcher

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """See choice.Mask; once the answer is whole only its end is allowed. Raises BackendError."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little").astype(bool)
        return np.where(allowed, logits, np.float32(-np.inf))

    def accept(self, token_id: int) -> None:
        """See choice.Mask."""
        self._matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            problem = " ".join(self._matcher.get_error().split())[:200]
            raise BackendError(f"the answer cannot keep to its schema: {problem}; ask for a simpler one")
