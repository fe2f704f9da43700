"""Pieces of answers in the shapes that OpenAI's clients read: whole, and as chunks of a stream."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from engram_local.model import Model
from engram_local.serving.choice import NO_TOKEN, ChoiceParams, Figures, Piece
from engram_local.serving.tagged_calls import Function
from engram_local.serving.tool_calls import CallForm
from engram_local.tokenization import REPLACEMENT

REASONS = {"stop": "stop", "stop_string": "stop", "length": "length"}


class Answer:
    """One request's answer in the making. Subclasses know the shapes of one endpoint."""

    prefix, object, chunk_object = "", "", ""

    def __init__(self, model: Model, name: str, choices: Sequence[ChoiceParams]):
        self.model, self.name, self.params = model, name, choices
        self.id = f"{self.prefix}-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.figures: dict[int, Figures] = {}

    def head(self, kind: str) -> dict[str, Any]:
        """What every object begins with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.name}

    def chunk(self, choices: list[dict[str, Any]], with_usage: bool) -> dict[str, Any]:
        """An event of a stream."""
        return self.head(self.chunk_object) | {"choices": choices} | ({"usage": None} if with_usage else {})

    def usage(self) -> dict[str, Any]:
        """Tokens of all choices; the prompt of several choices counts once."""
        prompts = {id(x.prompt): i for i, x in enumerate(self.params)}
        n_prompt = sum(len(self.params[i].prompt) for i in prompts.values())
        n_reused = sum(self.figures[i].n_reused for i in prompts.values() if i in self.figures)
        n_generated = sum(x.n_generated for x in self.figures.values())
        return {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_generated,
            "total_tokens": n_prompt + n_generated,
            "prompt_tokens_details": {"cached_tokens": n_reused},
        }

    def engram(self, index: int) -> dict[str, Any]:
        """What a choice took: an extension of the protocol."""
        x, params = self.figures[index], self.params[index]
        n_read = x.n_prompt - x.n_reused
        return {
            "memory": params.memory,
            "prompt_tokens_per_second": _rate(n_read, x.prompt_s),
            "tokens_per_second": _rate(x.n_generated - 1, x.decode_s),
            "queue_seconds": round(x.waited_s, 3),
            "rows_read": x.rows_read,
        }

    def tokens(self, pieces: Sequence[Piece]) -> list[dict[str, Any]]:
        """Tokens with their gates, an extension of the protocol. "token" is how the vocabulary spells one, "text" what
        of the answer became certain with it."""
        return [
            {
                "id": x.token_id,
                "token": self.text(x.token_id),
                "text": self.text(x.token_id) if x.in_prompt else x.text,
                "in_prompt": x.in_prompt,
                "gates": x.gates,
                "rows": x.rows,
            }
            for x in pieces
            if x.in_prompt or _is_shown(x)
        ]

    def text(self, token_id: int) -> str:
        """A token as it is written, control tokens too."""
        return self.model.tokenizer.decode([token_id], skip_special_tokens=False)


class ChatAnswer(Answer):
    """POST /v1/chat/completions."""

    prefix, object, chunk_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(
        self,
        model: Model,
        name: str,
        choices: Sequence[ChoiceParams],
        form: CallForm | None,
        functions: Sequence[Function] = (),
    ):
        """form: how the model calls tools, where the request brings some: functions."""
        super().__init__(model, name, choices)
        self._filters = [CallFilter(form, functions) for _ in choices] if form else None
        self._begun: set[int] = set()

    def whole(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """One choice of an answer that does not stream."""
        delta = self._delta(index, pieces)
        delta.setdefault("content", None if "tool_calls" in delta else "")
        for call in delta.get("tool_calls", ()):
            del call["index"]
        return self._choice(index, "message", {"role": "assistant"} | delta, pieces)

    def part(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        """One choice of a chunk; None where there is nothing to say."""
        delta = self._delta(index, pieces)
        if index not in self._begun:
            self._begun.add(index)
            delta = {"role": "assistant", "content": ""} | delta
        choice = self._choice(index, "delta", delta, pieces)
        told = delta or choice["finish_reason"] or choice["logprobs"] or choice.get("engram")
        return choice if told else None

    def _choice(self, index: int, key: str, message: dict[str, Any], pieces: Sequence[Piece]) -> dict[str, Any]:
        params = self.params[index]
        reason = REASONS.get(_reason(pieces) or "")
        if "tool_calls" in message:
            reason = "tool_calls"
        logprobs = None
        if params.n_top is not None:
            shown = [self._logprob(x) for x in pieces if not x.in_prompt and _is_shown(x)]
            logprobs = {"content": shown, "refusal": None}
        choice = {"index": index, key: message, "logprobs": logprobs, "finish_reason": reason}
        engram = self.engram(index) if reason and index in self.figures else {}
        if params.gates:
            engram["tokens"] = self.tokens(pieces)
        return choice | ({"engram": engram} if engram else {})

    def _delta(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        text, thought = "".join(x.text for x in pieces), "".join(x.thought for x in pieces)
        calls = None
        if self._filters is not None:
            text = self._filters[index].step(text)
            if _reason(pieces):
                rest, calls = self._filters[index].end()
                text += rest
        delta: dict[str, Any] = {"content": text} if text else {}
        if thought:
            delta["reasoning_content"] = thought
        if calls:
            delta["tool_calls"] = [{"index": i} | x for i, x in enumerate(calls)]
        return delta

    def _logprob(self, piece: Piece) -> dict[str, Any]:
        own = self._token(piece.token_id, piece.log_probability)
        return own | {"top_logprobs": [self._token(i, x) for i, x in piece.top or ()]}

    def _token(self, token_id: int, log_probability: float | None) -> dict[str, Any]:
        text = self.text(token_id)
        known = REPLACEMENT not in text  # part of a character: its bytes are not at hand
        return {"token": text, "logprob": _finite(log_probability), "bytes": list(text.encode()) if known else None}


class CompletionAnswer(Answer):
    """POST /v1/completions."""

    prefix, object, chunk_object = "cmpl", "text_completion", "text_completion"

    def __init__(self, model: Model, name: str, choices: Sequence[ChoiceParams], echo: bool):
        super().__init__(model, name, choices)
        self._echo = echo
        self._offsets = [0] * len(choices)
        self._begun: set[int] = set()

    def whole(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """One choice of an answer that does not stream."""
        params, text = self.params[index], "".join(x.text for x in pieces)
        if self._echo and index not in self._begun:
            self._begun.add(index)
            prompt = self.model.tokenizer.decode(params.prompt, skip_special_tokens=False)
            text = prompt + text
            if not params.score_prompt:
                self._offsets[index] = len(prompt)
        logprobs = None if params.n_top is None else self._logprobs(index, pieces)
        reason = REASONS.get(_reason(pieces) or "")
        if index in self.figures and not reason and params.limit == 0:
            reason = "length"
        choice = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
        engram = self.engram(index) if reason and index in self.figures else {}
        if params.gates:
            engram["tokens"] = self.tokens(pieces)
        return choice | ({"engram": engram} if engram else {})

    def part(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        """One choice of a chunk; None where there is nothing to say."""
        choice = self.whole(index, pieces)
        told = choice["text"] or choice["finish_reason"] or (choice["logprobs"] or {}).get("tokens")
        return choice if told or choice.get("engram") else None

    def _logprobs(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Of all tokens, the one that ends the answer included: lm-evaluation-harness drops the last one."""
        tokens, values, tops, offsets = [], [], [], []
        for piece in pieces:
            if piece.token_id == NO_TOKEN or (piece.in_prompt and not self.params[index].score_prompt):
                continue
            text = self.text(piece.token_id)
            tokens.append(text)
            values.append(_finite(piece.log_probability))
            offsets.append(self._offsets[index])
            self._offsets[index] += len(text)
            top = None
            if piece.top is not None and piece.log_probability is not None:
                top = {self.text(i): _finite(x) for i, x in reversed(piece.top)}
                top.setdefault(text, _finite(piece.log_probability))
            tops.append(top)
        return {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}


class CallFilter:
    """Keeps calls of tools out of the text: an answer is text up to the first call."""

    def __init__(self, form: CallForm, functions: Sequence[Function] = ()):
        self.form, self.functions = form, functions
        self._held = ""
        self._caught = self._passing = False

    def step(self, text: str) -> str:
        """Text that is none of a call."""
        self._held += text
        if self._caught:
            return ""
        opening = self.form.opening
        if not opening:
            return self._step_bare()
        at = self._held.find(opening)
        if at >= 0:
            self._caught = True
        else:
            ends = (n for n in range(len(opening) - 1, 0, -1) if self._held.endswith(opening[:n]))
            at = len(self._held) - next(ends, 0)
        out, self._held = self._held[:at], self._held[at:]
        return out

    def _step_bare(self) -> str:
        """Where nothing marks a call: an answer that begins as JSON is one."""
        if not self._passing:
            beginning = self._held.lstrip()[:1]
            if not beginning:
                return ""
            if beginning in "{[":
                self._caught = True
                return ""
            self._passing = True
        out, self._held = self._held, ""
        return out

    def end(self) -> tuple[str, list[dict[str, Any]] | None]:
        """(rest of the text, the calls: OpenAI's tool_calls). What was taken for a call and is none is text."""
        held, self._held = self._held, ""
        found = self.form.read(held, self.functions) if self._caught else None
        calls = [
            {
                "id": f"call_{secrets.token_hex(8)}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for name, arguments in found or ()
        ]
        return ("", calls) if calls else (held, None)


def _is_shown(piece: Piece) -> bool:
    """Whether the token is part of the answer: not the one that ends it."""
    return piece.token_id != NO_TOKEN and piece.finish_reason != "stop"


def _reason(pieces: Sequence[Piece]) -> str | None:
    return next((x.finish_reason for x in reversed(pieces) if x.finish_reason), None)


def _rate(n: int, seconds: float) -> float:
    return round(max(0, n) / max(seconds, 1e-9), 2) if n > 0 else 0.0


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: what cannot be is -9999, as OpenAI writes it."""
    return None if value is None else max(value, -9999.0)
