"""The thread that owns all sequences of a model. Choices join and leave between its steps.

A step is one token of every running answer and some tokens of the prompts that are being read (pace.py says how many),
all in one `forward_together`: their rows come in one read. Waiting choices are served in the order in which they came.
"""

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from engram_local.errors import EngramError
from engram_local.model import Model
from engram_local.serving.choice import Choice
from engram_local.serving.errors import ApiError
from engram_local.serving.pace import Pace
from engram_local.serving.slots import Slot, Slots
from engram_local.session import forward_together

SENDING = 0.02  # of a long step: what those who send its tokens are given
MOST_SCORED = 64  # tokens of a prompt in a step whose logits are all wanted: a row of the vocabulary each


class Observer:
    """Is told what the scheduler does; metrics.py counts it. Called by the scheduler's thread."""

    def stepped(self, n_tokens: int, n_prompt: int, seconds: float) -> None:
        """A step was computed: n_tokens new tokens of answers, of n_prompt tokens of prompts."""

    def ended(self, choice: Choice) -> None:
        """A choice left its slot, or the queue."""


class Scheduler:
    """Choices in, pieces out. `submit` and `Choice.cancel` may come from any thread."""

    def __init__(
        self, model: Model, *, n_slots: int, queue_limit: int, time_limit: float, observer: Observer | None = None
    ):
        """queue_limit: choices that may wait; time_limit: seconds from a choice's arrival to its end."""
        self.model, self.queue_limit, self.time_limit = model, queue_limit, time_limit
        self.slots = Slots(model, n_slots)
        self._observer = observer or Observer()
        self._pace = Pace(model.backend.max_chunk)
        self._queue: deque[Choice] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._turn = 0  # which prompt is read first
        self._mean_s = 1.0  # that a choice has a slot
        self._thread = threading.Thread(target=self._run, name="engram-scheduler", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Choices in the queue."""
        return len(self._queue)

    @property
    def n_running(self) -> int:
        """Slots in use."""
        return len(self.slots.busy)

    def check(self, n_choices: int) -> None:
        """Whether a request of as many choices is taken now. Raises ApiError: 429 where the queue is full, 400 for what
        never fits."""
        if self._closing:
            raise ApiError(429, "the server is shutting down; ask another one", retry_after=5)
        if n_choices > self.slots.n + self.queue_limit:
            raise ApiError(
                400,
                f"n: {n_choices} answers; this server takes {self.slots.n} and queues {self.queue_limit}",
                param="n",
            )
        if len(self._queue) + n_choices > self.queue_limit + self.slots.n - self.n_running:
            raise ApiError(
                429,
                f"{len(self._queue)} answers wait already (the limit is {self.queue_limit}); try again later",
                retry_after=self.retry_after(),
            )

    def submit(self, choices: Sequence[Choice]) -> None:
        """Queue the choices of a request, all or none. Raises as `check` does."""
        with self._wake:
            self.check(len(choices))
            self._queue.extend(choices)
            self._wake.notify()

    def retry_after(self) -> int:
        """Seconds after which the queue has probably moved on."""
        return max(1, min(60, round(self._mean_s * (1 + len(self._queue)) / self.slots.n)))

    def close(self) -> None:
        """Stop after the step that is computed now; whatever still runs or waits ends with an error."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._closing or self._queue or self.slots.busy):
                    self._wake.wait()
                if self._closing:
                    break
            try:
                self._sweep()
                self._admit()
                if busy := self.slots.busy:
                    self._step(busy)
            except Exception as error:  # nothing of a request may end this thread
                _report(error)
                for slot in self.slots.busy:
                    self._lose(slot, error)
        gone = ApiError(500, "the server was stopped")
        for slot in self.slots.busy:
            self._lose(slot, gone)
        while self._queue:
            self._queue.popleft().fail(gone)
        self.slots.close()

    def _sweep(self) -> None:
        """Let go of choices that nobody waits for, and end those whose time is up."""
        late = time.monotonic() - self.time_limit
        for slot in self.slots.busy:
            choice = slot.choice
            if not choice.cancelled and choice.arrived < late:
                if choice.n_generated:
                    choice.cut()
                else:
                    choice.fail(self._too_slow("read", choice))
            if choice.cancelled or choice.finished:
                self._leave(slot)
        if any(x.cancelled or x.arrived < late for x in self._queue):
            with self._wake:
                waiting, self._queue = list(self._queue), deque()
                for choice in waiting:
                    if choice.cancelled:
                        self._observer.ended(choice)
                    elif choice.arrived < late:
                        choice.fail(self._too_slow("taken up", choice))
                        self._observer.ended(choice)
                    else:
                        self._queue.append(choice)

    def _too_slow(self, what: str, choice: Choice) -> ApiError:
        return ApiError(
            429,
            f"the prompt of {len(choice.params.prompt)} tokens was not {what} within {self.time_limit:g} seconds; "
            "try again later",
            retry_after=self.retry_after(),
        )

    def _admit(self) -> None:
        while self._queue:
            choice = self._queue[0]
            try:
                slot = self.slots.take(choice.params.prompt, choice.params.memory, choice.reuses)
            except Exception as error:
                if not isinstance(error, EngramError | MemoryError):
                    _report(error)
                self._queue.popleft()
                choice.fail(error)
                continue
            if slot is None:
                return
            with self._wake:
                slot.choice, choice.slot = choice, slot
                self._queue.popleft()
            choice.n_reused, choice.started = slot.position, time.monotonic()

    def _step(self, busy: list[Slot]) -> None:
        answers = [x for x in busy if x.position >= len(x.choice.params.prompt)]
        prompts = [x for x in busy if x.position < len(x.choice.params.prompt)]
        parts: list[tuple[Slot, int]] = [(x, len(x.choice.tokens)) for x in answers]  # and tokens that it has then
        budget = self._pace.tokens(len(answers)) if prompts else 0
        n_chunks, n_prompt = len(prompts), 0
        # Another chunk would be another pass over all weights; single tokens join that of the answers.
        if answers and prompts:
            n_chunks = self._pace.together(len(answers), len(prompts)) if budget == 1 else 1
            budget *= n_chunks
        self._turn += 1
        for i in range(n_chunks):
            slot = prompts[(i + self._turn) % len(prompts)]
            n = min(budget - n_prompt, len(slot.choice.params.prompt) - slot.position)
            if answers and n_chunks > 1:
                n = 1
            if slot.choice.params.score_prompt:
                n = min(n, MOST_SCORED)
            if n < 1:
                break
            parts.append((slot, slot.position + n))
            n_prompt += n
        started = time.perf_counter()
        try:
            results = self._forward(parts)
        except Exception as error:
            if not isinstance(error, EngramError | MemoryError):
                _report(error)
            self._one_by_one(parts, error)
            return
        seconds = time.perf_counter() - started
        if answers and n_prompt > 1 and n_prompt == len(parts) - len(answers):  # a step of as many single tokens
            self._pace.learn(len(parts), 0, seconds)
        else:
            self._pace.learn(len(answers), n_prompt, seconds)
        self._observer.stepped(sum(end == len(x.choice.tokens) for x, end in parts), n_prompt, seconds)
        for (slot, end), logits in zip(parts, results, strict=True):
            self._guarded(slot, end, logits)
        if answers and n_prompt:  # the threads of the next step would keep the cores from whoever sends the tokens
            time.sleep(SENDING * seconds)

    def _forward(self, parts: list[tuple[Slot, int]]) -> list[np.ndarray | None]:
        works: list[Any] = []
        gates = []
        for slot, end in parts:
            choice = slot.choice
            prompt = choice.params.prompt
            whole = choice.params.score_prompt and slot.position < len(prompt)
            logits = "all" if whole else "last" if end == len(choice.tokens) else "none"
            works.append((slot.session, choice.tokens[slot.position : end], logits))
            if choice.params.gates:
                gates.append(slot.session)
        if len(works) == 1 and not gates:  # a single token of a single sequence has a shorter way
            session, tokens, logits = works[0]
            return [session.forward(tokens, logits)]
        return forward_together(works, gates=gates)

    def _one_by_one(self, parts: list[tuple[Slot, int]], error: Exception) -> None:
        """A step failed: find out whose fault it was. Each goes on from where its context is now."""
        for slot, end in parts:
            if len(parts) == 1:
                self._lose(slot, error)
                return
            try:
                slot.session.rewind(min(slot.session.length, slot.position))
                slot.position = slot.session.length
                logits = self._forward([(slot, end)])[0]
            except Exception as own:
                if not isinstance(own, EngramError | MemoryError):
                    _report(own)
                self._lose(slot, own)
            else:
                self._guarded(slot, end, logits)

    def _guarded(self, slot: Slot, end: int, logits: Any) -> None:
        """Hand a choice what was computed for it; what fails there is its own fault."""
        try:
            self._hand_out(slot, end, logits)
        except Exception as error:
            if not isinstance(error, EngramError | MemoryError):
                _report(error)
            self._lose(slot, error)

    def _hand_out(self, slot: Slot, end: int, logits: np.ndarray | None) -> None:
        choice, begin = slot.choice, slot.position
        slot.position = end
        gates = slot.session.gates if choice.params.gates else {}
        n_prompt = len(choice.params.prompt)
        if begin < n_prompt:
            choice.read_prompt(begin, logits if choice.params.score_prompt else None, gates)
            gates = {}
        if end == len(choice.tokens):
            assert logits is not None
            choice.next_token(logits[-1], gates)
        if choice.finished:
            self._leave(slot)

    def _leave(self, slot: Slot) -> None:
        choice = slot.choice
        self.slots.release(slot)
        self._mean_s += 0.1 * (time.monotonic() - choice.started - self._mean_s)
        self._observer.ended(choice)

    def _lose(self, slot: Slot, error: Exception) -> None:
        """A choice ends with an error; what its context holds is not to be trusted."""
        choice = slot.choice
        self.slots.drop(slot)
        if not choice.finished:
            choice.fail(error)
        self._leave(slot)


def _report(error: Exception) -> None:
    """A fault of this package, on stderr; a client sees none of it."""
    print(f"engram-local: {type(error).__name__}: {error}; this is a fault of engram-local", file=sys.stderr)
    traceback.print_exception(error)
