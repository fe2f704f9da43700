"""Answers that keep to a JSON schema: llguidance says which tokens may come next, for either tokenizer."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import llguidance
import numpy as np

from engram_local.model import Model
from engram_local.serving.errors import ApiError
from engram_local.serving.tool_calls import CallForm
from engram_local.thinking import CLOSE

MAX_SCHEMA = 1 << 16  # characters


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

    @cached_property
    def _lark(self) -> "Lark":
        known = self._tokenizer
        return Lark({known.decode_str([i]): i for i in range(self.model.n_tokens) if known.is_special_token(i)})

    def of_schema(self, schema: dict[str, Any], param: str, thinks: bool = False) -> str:
        """The grammar of a JSON schema. thinks: the prompt has opened a thought, which the answer closes first. Raises
        ApiError 400, naming `param`, for one that is wrong or too large, and for a model that no answer of which could
        end."""
        text = json.dumps(schema)
        return self._checked(f"answer: %json {text}", "answer", len(text), param, thinks)

    def of_call(self, form: CallForm, functions: Sequence[Mapping[str, Any]], param: str, thinks: bool = False) -> str:
        """The grammar of one call of one of `functions` (name, parameters), as the model's template writes it. Raises
        ApiError 400."""
        text = form.grammar(functions, self._lark)
        return self._checked(text, "call", len(text), param, thinks)

    def _checked(self, rules: str, first: str, length: int, param: str, thinks: bool) -> str:
        """A Lark grammar that begins with the rule `first`; length: characters of the schema that it was made of."""
        if not self.model.eos_ids:
            raise ApiError(400, f"{param}: this model has no token that ends an answer", param=param)
        if length > MAX_SCHEMA:
            raise ApiError(400, f"{param}: the schema has {length} characters; give at most {MAX_SCHEMA}", param=param)
        if thinks:
            rules = "\n".join([r"begin: thought /\s*/", self._lark.until("thought", CLOSE), rules])
        grammar = f"start: {'begin ' if thinks else ''}{first}\n{rules}\n"
        problem = llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer)
        if problem:
            raise ApiError(400, f"{param}: {' '.join(problem.split())[:200]}", param=param)
        return grammar

    def mask(self, grammar: str) -> "GrammarMask":
        """A mask at the beginning of an answer."""
        return GrammarMask(llguidance.LLMatcher(self._tokenizer, grammar, log_level=0))


class Lark:
    """Parts of a grammar in llguidance's Lark, which takes tokens such as <tool_call> for no text."""

    def __init__(self, tokens: Mapping[str, int]):
        """tokens: those, and their ids."""
        self._tokens = {x: i for x, i in tokens.items() if x}
        longest_first = sorted(map(re.escape, self._tokens), key=len, reverse=True)
        self._parts = re.compile(f"({'|'.join(longest_first)})" if longest_first else r"(?!)")

    def text(self, text: str) -> str:
        """Exactly that text."""
        parts = (x for x in self._parts.split(text) if x)
        return " ".join(f"<[{self._tokens[x]}]>" if x in self._tokens else json.dumps(x) for x in parts)

    def until(self, rule: str, end: str) -> str:
        """A rule: anything, up to that text and with it."""
        if self._parts.search(end):
            return f"{rule}: /(?s:.*)/ {self.text(end)}"
        return f"{rule}[suffix={json.dumps(end)}]: /(?s:.*)/"


class GrammarMask:
    """One answer's (choice.Mask)."""

    def __init__(self, matcher: llguidance.LLMatcher):
        self._matcher = matcher

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """See choice.Mask; once the answer is whole only its end is allowed. Raises ApiError 400."""
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
            raise ApiError(400, f"the answer cannot keep to its schema: {problem}; ask for a simpler one")
