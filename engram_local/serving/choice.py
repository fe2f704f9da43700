"""One answer in the making, as the scheduler sees it: what was asked for, how far it is, and where its pieces go.

Knows nothing of HTTP. A request with n = 3 has three choices.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from engram_local.generation import Decoder
from engram_local.model import Model
from engram_local.sampling import SamplingParams
from engram_local.serving.logits import Adjustments, log_probability, top_log_probabilities

NO_TOKEN = -1


class Mask(Protocol):
    """What a token may be: a grammar that has seen the answer so far."""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """A copy of float32 [n_tokens] with -inf where a token is not allowed."""
        ...

    def accept(self, token_id: int) -> None:
        """Take a token."""
        ...


@dataclass(frozen=True)
class ChoiceParams:
    """What is asked for."""

    prompt: list[int]
    limit: int  # most tokens of the answer; 0: the prompt is scored alone
    sampling: SamplingParams
    memory: bool = True
    stop: tuple[str, ...] = ()
    thoughts: bool = False
    bias: Mapping[int, float] = field(default_factory=dict)
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    mask: Callable[[], Mask] | None = None
    n_top: int | None = None  # log probabilities of this many tokens beside the chosen one's; None: none at all
    score_prompt: bool = False  # log probabilities of the prompt's tokens
    gates: bool = False  # how far each layer's gate opened at every token


@dataclass(slots=True)
class Piece:
    """What came with one token of the answer, or of a prompt that is scored or looked at."""

    token_id: int  # NO_TOKEN where it only says that the answer ended
    text: str = ""
    thought: str = ""
    finish_reason: str | None = None  # "stop", "stop_string", "length"
    in_prompt: bool = False
    log_probability: float | None = None
    top: list[tuple[int, float]] | None = None
    gates: dict[int, list[float]] | None = None  # {layer id: a number a stream}, 0 (shut) to 1
    rows: dict[int, list[int]] | None = None  # {layer id: row ids that the token read}


@dataclass(frozen=True)
class Figures:
    """What an answer took. Seconds are wall time."""

    n_prompt: int
    n_reused: int  # tokens of the prompt that a slot had already
    n_generated: int
    prompt_s: float
    decode_s: float
    waited_s: float  # in the queue
    rows_read: int


Item = Piece | Figures | Exception  # an exception or the figures are the last of a choice


class Choice:
    """Whoever asks keeps it to `cancel`; everything else is the scheduler's."""

    def __init__(self, model: Model, params: ChoiceParams, put: Callable[[Item], None]):
        """put: takes pieces, and at the end Figures or an exception; called by the scheduler's thread. Raises
        UsageError for stop strings that are none."""
        self.model, self.params, self.put = model, params, put
        self.cancelled = False
        self.arrived = time.monotonic()
        self.started = self.read = 0.0  # taken from the queue; prompt read
        self.slot: Any = None
        self.n_reused = 0
        self.tokens = list(params.prompt)  # and the answer's tokens
        self.finished = False
        self._adjustments = Adjustments(params.bias, params.presence_penalty, params.frequency_penalty)
        self._mask = params.mask() if params.mask else None
        self._decoder = Decoder(
            model.tokenizer,
            params.prompt,
            max(1, params.limit),
            params.sampling,
            end_ids=model.eos_ids,
            stop=params.stop,
            thoughts=params.thoughts,
        )
        self._held: Piece | None = None  # the last token, whose gates are not known before the model computes it
        self._n_shown = 0  # tokens of the prompt that pieces were made of
        self._logits: np.ndarray | None = None  # behind the last token of the prompt that was scored

    @property
    def n_generated(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - len(self.params.prompt)

    @property
    def reuses(self) -> bool:
        """Whether a slot's tokens can stand for the beginning of the prompt: not where each token is asked about."""
        return not self.params.score_prompt and not self.params.gates

    def cancel(self) -> None:
        """Nobody waits for the answer any more; any thread may call it."""
        self.cancelled = True

    def read_prompt(self, begin: int, logits: np.ndarray | None, gates: Mapping[int, np.ndarray]) -> None:
        """Prompt tokens from `begin` on were evaluated: logits [n, vocab] where the prompt is scored, gates
        {layer id: [n, streams]} where they are asked for."""
        params = self.params
        if not params.score_prompt and not params.gates:
            return
        n = len(next(iter(gates.values()))) if logits is None and gates else 0 if logits is None else len(logits)
        for i in range(n):
            position = begin + i
            if position < self._n_shown:  # read again after an error
                continue
            self._n_shown += 1
            piece = Piece(params.prompt[position], in_prompt=True)
            if params.score_prompt and self._logits is not None:
                self._score(piece, self._logits)
            self._add_gates(piece, position, i, gates)
            self.put(piece)
            self._logits = None if logits is None else logits[i]

    def next_token(self, logits: np.ndarray, gates: Mapping[int, np.ndarray]) -> None:
        """Draw a token behind all so far: logits [vocab]; gates of the last token, where it is one of the answer."""
        params, row = self.params, logits[: self.model.n_tokens]
        if self._held is not None:
            self._add_gates(self._held, len(self.tokens) - 1, 0, gates)
            self._emit_held()
        if not self.read:
            self.read = time.monotonic()
        if params.limit == 0:
            self._end()
            return
        drawn_from = self._adjustments.apply(row)
        if self._mask is not None:
            drawn_from = self._mask.apply(drawn_from)
        token = self._decoder.sample(drawn_from)
        if self._decoder.goes_on(token):
            self.slot.session.read_ahead([token])
        step = self._decoder.accept(token)
        self._adjustments.count(token)
        self.tokens.append(token)
        if self._mask is not None:
            self._mask.accept(token)
        piece = Piece(token, step.text, step.thought, step.finish_reason)
        if params.n_top is not None:
            self._score(piece, row)
        self._held = piece
        if piece.finish_reason:
            self._emit_held()
            self._end()
        elif not params.gates:
            self._emit_held()

    def cut(self) -> None:
        """The time is up: the answer ends here."""
        if self._held is not None:
            self._emit_held()
        self.put(Piece(NO_TOKEN, finish_reason="length"))
        self._end()

    def fail(self, error: Exception) -> None:
        """The answer ends with an error."""
        self.finished = True
        self.put(error)

    def _emit_held(self) -> None:
        piece, self._held = self._held, None
        assert piece is not None
        self.put(piece)

    def _end(self) -> None:
        self.finished = True
        self.put(self.figures())

    def figures(self) -> Figures:
        """What it took so far."""
        now, n_prompt = time.monotonic(), len(self.params.prompt)
        rows_per_token = sum(x.n_heads for x in self.model.config.layers) if self.params.memory else 0
        n_evaluated = n_prompt - self.n_reused + max(0, self.n_generated - 1)
        read = self.read or now
        return Figures(
            n_prompt,
            self.n_reused,
            self.n_generated,
            read - (self.started or now),
            now - read,
            (self.started or now) - self.arrived,
            n_evaluated * rows_per_token,
        )

    def _score(self, piece: Piece, logits: np.ndarray) -> None:
        row = logits[: self.model.n_tokens]
        piece.log_probability = log_probability(row, piece.token_id)
        piece.top = top_log_probabilities(row, self.params.n_top or 0)

    def _add_gates(self, piece: Piece, position: int, i: int, gates: Mapping[int, np.ndarray]) -> None:
        if not self.params.gates or not gates:
            return
        piece.gates = {layer_id: [round(float(x), 4) for x in opened[i]] for layer_id, opened in gates.items()}
        hasher = self.model.hasher
        window = self.tokens[max(0, position - hasher.max_lag) : position + 1]
        piece.rows = {i: hasher.row_ids(window, i)[-1].tolist() for i in piece.gates}
