"""From logits to text: one Decoder a sequence, and the loop that drives one. conversation.py knows turns."""

import time
from collections.abc import Generator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from engram_local.arguments import integer, texts
from engram_local.chat_template import Message
from engram_local.errors import ContextOverflowError, UsageError
from engram_local.prompt_lookup import PromptLookup
from engram_local.sampling import Sampler, SamplingParams
from engram_local.session import Session
from engram_local.thinking import ThoughtFilter, opens_with_thought
from engram_local.tokenization import Detokenizer, Tokenizer

MOST_BYTES_A_TOKEN = 256  # tokens are far shorter, so a text with more bytes than this for each cannot fit


def most_characters(context_length: int) -> int:
    """Characters of a text beyond which it need not be tokenized: it has more tokens than `context_length`."""
    return context_length * MOST_BYTES_A_TOKEN


def check_length(text: str, context_length: int) -> None:
    """Refuse a text that is too long, whatever its tokens are, before they are counted. Raises
    ContextOverflowError."""
    if len(text) > most_characters(context_length):
        raise ContextOverflowError(
            f"a text of {len(text)} characters does not fit into a context of {context_length} tokens; shorten the "
            "prompt"
        )


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
    thought: str = ""  # as `text`, of what the model thinks aloud; only where thoughts are parted from the answer
    n_drafted: int = 0  # of the generated tokens, those that a draft had right


class Decoder:
    """One answer in the making: logits in, Step out. It knows no session, so several can share a step of the model.

    Each round: `begin`, let the model compute, `sample` its logits, `accept` the token; the token is what the model
    computes next, until a Step has a finish_reason. Only the time between `begin` and `accept` counts as the model's.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        limit: int,
        params: SamplingParams,
        *,
        end_ids: Set[int] = frozenset(),
        stop: str | Sequence[str] = (),
        thoughts: bool = False,
    ):
        """Parameters: prompt: the token ids that the answer follows, for the repetition penalty; limit: most tokens of
        the answer, from 1; end_ids: tokens that end it and have no text; stop: texts that end it and are not part of
        it; thoughts: part what is thought from what is said. Raises UsageError for a wrong `stop`."""
        self.n_prompt, self.n_reused, self.n_generated, self.n_drafted = len(prompt), 0, 0, 0
        self.limit, self.end_ids = limit, end_ids
        self._sampler = Sampler(params)
        self._detokenizer, self._stopper = Detokenizer(tokenizer), _Stopper(texts(stop, "stop"))
        self._thoughts = ThoughtFilter(opens_with_thought(tokenizer, prompt)) if thoughts else None
        self._tokens = np.empty(self.n_prompt + limit, np.int64)
        self._tokens[: self.n_prompt] = prompt
        self._begun = self._sampled = 0.0
        self._prompt_tok_s = self._decode_s = 0.0

    def begin(self) -> None:
        """The model begins to compute: the prompt at first, then the last token."""
        self._begun = time.perf_counter()

    def sample(self, logits: np.ndarray) -> int:
        """The next token. `logits` float32 [n_tokens] behind all tokens so far. Raises BackendError where no number is
        finite."""
        self._sampled = time.perf_counter()
        return self._sampler.sample(logits, self._tokens[: self.n_prompt + self.n_generated])

    def goes_on(self, token_id: int) -> bool:
        """Whether the model will compute `token_id`, unless its text ends the answer: the table's rows of such a token
        can be read ahead."""
        return token_id not in self.end_ids and self.n_generated + 1 < self.limit

    def accept(self, token_id: int) -> Step:
        """Take a token into the answer."""
        self._tokens[self.n_prompt + self.n_generated] = token_id
        self.n_generated += 1
        ended = token_id in self.end_ids
        text = "" if ended else self._stopper.step(self._detokenizer.step(token_id))
        reason = "stop" if ended else "length" if self.n_generated == self.limit else None
        if reason:
            text += self._stopper.step(self._detokenizer.flush()) + self._stopper.flush()
        if self._stopper.found:
            reason = "stop_string"
        thought = ""
        if self._thoughts is not None:
            text, thought = self._thoughts.step(text)
            if reason:
                rest = self._thoughts.flush()
                text, thought = text + rest[0], thought + rest[1]
        if self.n_generated == 1:  # the prompt's time ends where its logits are there
            self._prompt_tok_s = (self.n_prompt - self.n_reused) / max(self._sampled - self._begun, 1e-9)
        else:
            self._decode_s += time.perf_counter() - self._begun
        decode_tok_s = (self.n_generated - 1) / max(self._decode_s, 1e-9)
        return Step(
            text,
            token_id,
            self.n_prompt,
            self.n_reused,
            self.n_generated,
            self._prompt_tok_s,
            decode_tok_s,
            reason,
            thought,
            self.n_drafted,
        )


def prompt_ids(
    tokenizer: Tokenizer, prompt: str | Sequence[Message], raw: bool, context_length: int, **variables: Any
) -> list[int]:
    """Token ids of a prompt.

    Parameters: prompt: a text (one message of the user; with `raw`, or where there is no chat template, the text to
                continue) or a conversation of {"role", "content"} objects; variables: for the chat template.
    Raises:     UsageError for what is neither, or empty; ContextOverflowError for what is far too long;
                ModelFolderError where a conversation needs a chat template that is not there, or that fails.
    """
    if not isinstance(prompt, str):
        _check_messages(prompt)
        for message in prompt:
            check_length(str(message["content"]), context_length)
        return tokenizer.encode_chat(prompt, **variables)
    if not prompt:
        raise UsageError("the prompt is empty; give some text")
    check_length(prompt, context_length)
    if raw or tokenizer.template is None:
        return tokenizer.encode(prompt)
    return tokenizer.encode_chat([{"role": "user", "content": prompt}], **variables)


def _check_messages(prompt: Any) -> None:
    if not isinstance(prompt, Sequence) or isinstance(prompt, (bytes, bytearray)):
        raise UsageError(f"the prompt is a {type(prompt).__name__}; give a text, or a list of messages")
    if not prompt:
        raise UsageError("the prompt is empty; give some text")
    for i, message in enumerate(prompt):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str) or "content" not in message:
            raise UsageError(f'message {i} is {str(message)[:40]}; give {{"role": ..., "content": ...}}')


def generate(
    session: Session,
    token_ids: Sequence[int],
    *,
    max_tokens: int | None = None,
    stop: str | Sequence[str] = (),
    ignore_eos: bool = False,
    thoughts: bool = False,
    lookup: bool = False,
    **sampling: Any,
) -> Generator[Step, None, None]:
    """Continue `token_ids`, the whole context; what the session shares with it is not evaluated again.

    Parameters: max_tokens: None goes on to the context's end; stop: texts that end the answer and are not part of it;
                ignore_eos: go on behind end tokens (for measurements); thoughts: part what the model thinks aloud from
                what it says (Step.thought); lookup: compute what followed the same words before together with the
                next token (prompt_lookup.py), which is faster where an answer quotes; each token is still drawn from
                its own logits, so the same seed gives the same tokens as far as the backend's kernels give one token
                the numbers of several. Backbones that cannot go back ignore it; sampling: the fields of SamplingParams.
    Raises:     ContextOverflowError where the prompt leaves no room for a token; UsageError for an empty prompt.
    """
    params = SamplingParams(**sampling)
    model = session.model
    n_prompt, room = len(token_ids), session.context_length - len(token_ids)
    if not n_prompt:
        raise UsageError("the prompt is empty; give some text")
    if room < 1:
        raise ContextOverflowError(
            f"the prompt has {n_prompt} tokens, the context {session.context_length}; shorten the prompt"
        )
    limit = room if max_tokens is None else min(integer(max_tokens, "max_tokens", 1), room)
    end_ids = frozenset() if ignore_eos else model.eos_ids
    decoder = Decoder(model.tokenizer, token_ids, limit, params, end_ids=end_ids, stop=stop, thoughts=thoughts)

    most = model.backend.draft_length if lookup else 0
    drafts = PromptLookup(most) if most else None

    decoder.begin()
    decoder.n_reused = session.keep_prefix(token_ids[:-1])
    logits = session.forward(token_ids[decoder.n_reused :])
    if drafts:
        drafts.extend(token_ids)
    draft: list[int] = []
    while True:
        steps, n_before, coming = [], session.length - len(draft), list[int]()
        for i, row in enumerate(logits):
            token = decoder.sample(row[: model.n_tokens])
            is_right = i < len(draft) and token == draft[i]
            decoder.n_drafted += is_right
            if drafts:
                drafts.extend([token])
            if not is_right and decoder.goes_on(token):
                if draft:
                    session.rewind(n_before + i)
                coming = [token]
                if drafts:
                    if draft:
                        drafts.learn(len(draft), i)
                    coming += drafts.draft(limit - decoder.n_generated - 2)
                session.read_ahead(coming)
            steps.append(decoder.accept(token))
            if steps[-1].finish_reason or not is_right:
                break
            decoder.begin()
        yield from steps
        if steps[-1].finish_reason:
            session.rewind(min(session.length, n_before + len(steps) - 1))
            return
        draft = coming[1:]
        decoder.begin()
        logits = session.forward(coming, "all" if draft else "last")


class _Stopper:
    """Lets text through up to the first stop string; holds back an end that may be the beginning of one."""

    def __init__(self, stop: Sequence[str]):
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
