"""Token after token out of a session, as text. Knows sampling and stopping; chat turns are chat.py's business."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engram_local.errors import ContextOverflowError, EngramError
from engram_local.sampling import Sampler, SamplingParams
from engram_local.session import Session
from engram_local.tokenization import Detokenizer


@dataclass(frozen=True)
class Step:
    """One generated token. `text` is what became certain with it (perhaps nothing); the last step alone has a reason:
    "stop" (an end token), "stop_string", or "length" (max_tokens, or the context is full)."""

    text: str
    token_id: int
    n_prompt: int  # tokens of the prompt
    n_reused: int  # of these, tokens that the session had already
    n_generated: int
    prompt_tok_s: float  # of the prompt's tokens that were evaluated
    decode_tok_s: float  # 0 until a second token is there
    finish_reason: str | None = None


def generate(
    session: Session,
    token_ids: Sequence[int],
    *,
    max_tokens: int | None = None,
    stop: Sequence[str] = (),
    ignore_eos: bool = False,
    **sampling,
) -> Iterator[Step]:
    """Continue `token_ids`, the whole context; what the session shares with it is not evaluated again.

    Parameters: max_tokens: None goes on to the context's end; stop: texts that end the answer and are not part of it;
                ignore_eos: go on behind end tokens (for measurements); sampling: the fields of SamplingParams.
    Raises:     ContextOverflowError where the prompt leaves no room for a token; EngramError for an empty prompt.
    """
    sampler = Sampler(SamplingParams(**sampling))
    model = session.model
    n_prompt, room = len(token_ids), session.context_length - len(token_ids)
    if not n_prompt:
        raise EngramError("the prompt is empty; give some text")
    if room < 1:
        raise ContextOverflowError(
            f"the prompt has {n_prompt} tokens, the context {session.context_length}; shorten the prompt"
        )
    if max_tokens is not None and max_tokens < 1:
        raise EngramError(f"max_tokens is {max_tokens}; give a number from 1")
    limit = room if max_tokens is None else min(max_tokens, room)
    detokenizer, stopper = Detokenizer(model.tokenizer), _Stopper(stop)

    start = time.perf_counter()
    reused = session.keep_prefix(token_ids[:-1])
    logits = session.forward(token_ids[reused:])
    decode_start = time.perf_counter()
    prompt_tok_s = (n_prompt - reused) / (decode_start - start)

    context = np.empty(n_prompt + limit, np.int64)
    context[:n_prompt] = token_ids
    paused = 0.0  # the caller's time between two steps is not the model's
    for n in range(1, limit + 1):
        token = sampler.sample(logits[0, : model.n_tokens], context[: n_prompt + n - 1])
        context[n_prompt + n - 1] = token
        reason = None
        if token in model.eos_ids and not ignore_eos:
            reason = "stop"
            text = ""
        else:
            if n < limit:
                session.read_ahead([token])
            text = stopper.step(detokenizer.step(token))
            if stopper.found:
                reason = "stop_string"
            elif n == limit:
                reason = "length"
        if reason in ("stop", "length"):
            text += stopper.step(detokenizer.flush())
            if stopper.found:
                reason = "stop_string"
            else:
                text += stopper.flush()
        now = time.perf_counter()
        decode_tok_s = (n - 1) / (now - decode_start - paused) if n > 1 else 0.0
        yield Step(text, token, n_prompt, reused, n, prompt_tok_s, decode_tok_s, reason)
        if reason:
            return
        paused += time.perf_counter() - now
        logits = session.forward([token])


class _Stopper:
    """Lets text through up to the first stop string; holds back an end that may be the beginning of one."""

    def __init__(self, stop: Sequence[str]):
        if any(not s for s in stop):
            raise EngramError("a stop string is empty; give some text")
        self.stop = tuple(stop)
        self.held = ""
        self.found = False

    def step(self, text: str) -> str:
        if not self.stop or self.found:
            return "" if self.found else text
        self.held += text
        places = [i for s in self.stop if (i := self.held.find(s)) >= 0]
        if places:
            self.found = True
            out, self.held = self.held[: min(places)], ""
            return out
        keep = max(
            (n for s in self.stop for n in range(min(len(s) - 1, len(self.held)), 0, -1) if self.held.endswith(s[:n])),
            default=0,
        )
        out = self.held[: len(self.held) - keep]
        self.held = self.held[len(self.held) - keep :]
        return out

    def flush(self) -> str:
        out, self.held = self.held, ""
        return out
