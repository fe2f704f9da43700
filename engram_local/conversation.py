"""A chat's state: messages, the session behind them, and what happens when the context is full. No terminal here."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from engram_local.errors import ContextOverflowError, EngramError
from engram_local.generation import Step, generate
from engram_local.model import Model


class Conversation:
    """Messages of one chat. What the session has evaluated already is not evaluated again.

    Overflow policy: where the messages, and a quarter of the context for the answer, no longer fit, the oldest turns
    are dropped until half of the context is free (a system message stays). So a long chat re-reads its context once
    in many turns and not at each of them. A tokenizer's model_max_length below the context's is the limit then: a model
    may take more tokens than it was trained to follow.
    """

    def __init__(
        self,
        model: Model,
        *,
        memory: bool = True,
        system: str | None = None,
        max_tokens: int | None = None,
        **sampling,
    ):
        """`max_tokens` None lets an answer go on to the context's end; `sampling`: the fields of SamplingParams.
        Raises ModelFolderError for a model without a chat template."""
        model.tokenizer.require_template()
        self.model = model
        self.memory = memory
        self.max_tokens = max_tokens
        self.sampling = sampling
        self.session = model.session(memory)
        self.first = [{"role": "system", "content": system}] if system else []
        self.messages = list(self.first)
        self.n_replies = 0
        self.last: Step | None = None  # of the latest reply

    def reply(self, text: str) -> Iterator[Step]:
        """Stream the answer to a message. Whatever came, were it cut short, is part of the conversation; a message that
        was refused (ContextOverflowError) is not."""
        before = len(self.messages)
        self.messages.append({"role": "user", "content": text})
        try:
            yield from self._answer()
        except EngramError:
            del self.messages[before:]
            raise

    def regenerate(self) -> Iterator[Step]:
        """Answer the last message anew."""
        if not any(m["role"] == "user" for m in self.messages):
            raise EngramError("there is no message to answer again; write one first")
        if self.messages[-1]["role"] == "assistant":
            self.messages.pop()
        yield from self._answer()

    def _answer(self) -> Iterator[Step]:
        sampling = dict(self.sampling)
        if sampling.get("seed") is not None:  # the same chat gives the same answers, a regenerated answer is another
            sampling["seed"] += self.n_replies
        answer = ""
        steps = generate(self.session, self._prompt(), max_tokens=self.max_tokens, **sampling)
        try:
            for step in steps:
                answer += step.text
                self.last = step
                yield step
        finally:
            if answer:
                self.messages.append({"role": "assistant", "content": answer.strip()})
                self.n_replies += 1

    def overflow(self, text: str | None = None) -> int:
        """Drop the oldest turns where the context is too full for an answer to `text`; returns how many."""
        limit = min(self.model.context_length, self.model.tokenizer.max_length or self.model.context_length)
        messages = self.messages if text is None else [*self.messages, {"role": "user", "content": text}]
        if self._length(messages) + limit // 4 <= limit:
            return 0
        kept, dropped = messages[len(self.first) :], 0
        while len(kept) > 1 and self._length(self.first + kept) > limit // 2:
            following = [i for i, m in enumerate(kept) if i and m["role"] == "user"]
            if not following:
                break
            kept, dropped = kept[following[0] :], dropped + 1
        self.messages = self.first + (kept if text is None else kept[:-1])
        return dropped

    def set_memory(self, memory: bool) -> None:
        """Switch the Engram layers. A context is computed wholly with or wholly without them, so the next answer
        evaluates the conversation again."""
        if memory != self.memory:
            self.memory = memory
            self._restart()

    def reset(self) -> None:
        self.messages = list(self.first)
        self.last = None
        self._restart()

    def save(self, path: str | Path) -> None:
        """Write the conversation as JSON; refuses to overwrite."""
        path = Path(path).expanduser()
        if path.exists():
            raise EngramError(f"{path} exists; choose another name")
        content = {"model": str(self.model.folder.path), "memory": self.memory, "messages": self.messages}
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            os.replace(partial, path)
        except OSError as error:
            raise EngramError(f"{path}: cannot be written: {error.strerror or error}") from error

    def _restart(self) -> None:
        self.session.close()
        self.session = self.model.session(self.memory)

    def _length(self, messages: list[dict]) -> int:
        return len(self.model.tokenizer.encode_chat(messages))

    def _prompt(self) -> list[int]:
        ids = self.model.tokenizer.encode_chat(self.messages)
        if len(ids) >= self.model.context_length:
            raise ContextOverflowError(
                f"this message takes {len(ids)} tokens, the context has {self.model.context_length}; shorten it"
            )
        return ids
