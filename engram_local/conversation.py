"""A chat's state: messages, the session behind them, and what happens when the context is full. No terminal here."""

import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engram_local.arguments import integer, texts
from engram_local.chat_template import Message
from engram_local.errors import ContextOverflowError, UsageError
from engram_local.gates import TokenGates, read_gates
from engram_local.generation import Step, check_length, generate
from engram_local.model import Model
from engram_local.model_folder import read_json
from engram_local.sampling import SamplingParams
from engram_local.session import Session

Steps = Generator[Step, None, None]  # an answer to be streamed; closing it ends it


def fit(messages: Sequence[Message], count: Callable[[list[Message]], int], limit: int) -> list[Message]:
    """The messages that stay where a chat has a context of `limit` tokens.

    Where they, and a quarter of the context for the answer, no longer fit, the oldest turns go until half of the
    context is free. So a long chat re-reads its context once in many turns and not at each of them. The system messages
    at the beginning stay, and so does the last turn, even where it is too long alone.

    Parameters: count: tokens that a prompt made of messages has.
    """
    n_system = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    system, kept = list(messages[:n_system]), list(messages[n_system:])
    if count(system + kept) + limit // 4 <= limit:
        return system + kept
    while count(system + kept) > limit // 2:
        turn = next((i for i, m in enumerate(kept) if i and m["role"] == "user"), None)
        if turn is None:
            break
        kept = kept[turn:]
    return system + kept


class Conversation:
    """Messages of one chat. What the session has evaluated already is not evaluated again.

    A turn is all or nothing: what failed, was refused, or was stopped before its first text leaves the messages as they
    were. A tokenizer's model_max_length below the context's length is the limit of `fit`: a model may take more tokens
    than it was trained to follow.
    """

    def __init__(
        self,
        model: Model,
        *,
        memory: bool = True,
        system: str | None = None,
        max_tokens: int | None = None,
        variables: dict[str, Any] | None = None,
        **sampling: Any,
    ):
        """`max_tokens` None is what the model says, or up to the context's end; `variables`: for the chat template;
        `sampling`: the fields of SamplingParams. Raises ModelFolderError for a model without a chat template."""
        self.template = model.tokenizer.require_template()
        self.variables = dict(variables or {})
        self.model = model
        self.memory = memory
        self.max_tokens = max_tokens or model.folder.max_new_tokens
        self.stop: tuple[str, ...] = ()
        self.lookup = False  # see generation.generate
        self.sampling = sampling
        self.pretended: dict[str, str] = {}  # names whose n-grams read the rows of others
        self.session = model.session(memory)
        self._contrast: Session | None = None  # with the memory the other way round
        self.system_messages: list[Message] = [{"role": "system", "content": system}] if system else []
        self.messages = list(self.system_messages)
        self.n_dropped = 0  # turns that the latest `reply` had no room for
        self.n_replies = 0
        self.last_step: Step | None = None  # of the latest reply
        self._last_prompt: list[int] = []  # token ids of the latest reply's prompt, and of the reply
        self._last_tokens: list[int] = []
        self._encoded: tuple[Any, list[int]] = (None, [])

    def reply(self, text: str) -> Steps:
        """Make room for a message and return its answer, to be streamed: whatever came, were it cut short, is part of
        the conversation then. Raises ContextOverflowError for a message that is too long."""
        check_length(text, self.model.context_length)
        messages = self.make_room([*self.messages, {"role": "user", "content": text}])
        self.n_dropped = _count_turns(self.messages) + 1 - _count_turns(messages)
        return self._answer(messages)

    def regenerate(self) -> Steps:
        """Answer the last message anew."""
        return self._answer(self.messages[: self._last_question() + 1])

    def _last_question(self) -> int:
        last = next((i for i in reversed(range(len(self.messages))) if self.messages[i]["role"] == "user"), None)
        if last is None:
            raise UsageError("there is no message to answer again or to take back; write one first")
        return last

    @property
    def limit(self) -> int:
        """Tokens that the chat stays below."""
        longest = self.model.context_length
        return min(longest, self.model.tokenizer.max_length or longest)

    def make_room(self, messages: list[Message]) -> list[Message]:
        """`messages` without the oldest turns where the context is too full for an answer to the last of them. Raises
        ContextOverflowError where that alone is too long."""
        longest = self.model.context_length
        kept = fit(messages, lambda some: len(self._encode(some)), self.limit)
        n_tokens = len(self._encode(kept))
        if n_tokens >= longest:
            raise ContextOverflowError(f"this message takes {n_tokens} tokens, the context has {longest}; shorten it")
        return kept

    def contrast(self) -> Steps:
        """The answer to the last message with the memory the other way round; it does not become part of the
        conversation."""
        messages = self.messages[: self._last_question() + 1]
        if self._contrast is None:
            self._contrast = self.model.session(not self.memory, pretend=self.pretended)
        yield from self._generate(self._contrast, self._encode(messages), max(0, self.n_replies - 1))

    def gates(self) -> list[TokenGates]:
        """What the latest reply's tokens looked up, and how far the gates opened; empty where there was no memory.

        Evaluates the reply once more. Raises UsageError where no reply is in the session.
        """
        if not self._last_tokens:
            raise UsageError("there is no answer whose gates could be read")
        self.session.keep_prefix(self._last_prompt)
        if n := len(self._last_prompt) - self.session.length:
            self.session.forward(self._last_prompt[-n:], "none")
        return read_gates(self.session, self._last_tokens)

    def _generate(self, session: Session, prompt: list[int], n: int) -> Steps:
        """The n-th answer of the chat."""
        sampling = dict(self.sampling)
        if sampling.get("seed") is not None:  # the same chat gives the same answers, a regenerated answer is another
            sampling["seed"] += n
        thoughts = self.template.knows_thoughts
        options: dict[str, Any] = {"max_tokens": self.max_tokens, "stop": self.stop, "lookup": self.lookup}
        return generate(session, prompt, thoughts=thoughts, **options, **sampling)

    def _answer(self, messages: list[Message]) -> Steps:
        prompt = self._encode(messages)
        answer, thought, failed = "", "", False
        self._last_prompt, self._last_tokens = prompt, []
        try:
            for step in self._generate(self.session, prompt, self.n_replies):
                answer, thought = answer + step.text, thought + step.thought
                self.last_step = step
                if step.token_id not in self.model.eos_ids:
                    self._last_tokens.append(step.token_id)
                yield step
        except Exception:
            failed = True
            raise
        finally:
            if answer.strip() and not failed:
                message = {"role": "assistant", "content": answer.strip()}
                if thought.strip():  # the template says whether a later prompt holds it
                    message["reasoning_content"] = thought.strip()
                self.messages = [*messages, message]
                self.n_replies += 1

    def undo(self) -> str:
        """Take the last turn back; returns its message. Raises UsageError where there is none."""
        last = self._last_question()
        text = self.messages[last]["content"]
        self.messages = self.messages[:last]
        return text

    def last_question(self) -> str:
        """The last message of the user. Raises UsageError where there is none."""
        return self.messages[self._last_question()]["content"]

    def set_system(self, text: str) -> None:
        """Replace the system message, "" leaving it out; the turns stay."""
        turns = self.messages[len(self.system_messages) :]
        self.system_messages = [{"role": "system", "content": text}] if text else []
        self.messages = [*self.system_messages, *turns]

    def set_option(self, name: str, value: str) -> None:
        """One field of SamplingParams, max_tokens or stop, as text. Raises UsageError naming what can be set."""
        if name == "stop":
            self.stop = texts(value, name) if value else ()
        elif name == "max_tokens":
            self.max_tokens = integer(_number(value), name, 1)
        elif name in SamplingParams.__dataclass_fields__:
            sampling = self.sampling | {name: _number(value)}
            SamplingParams(**sampling)
            self.sampling = sampling
        else:
            names = ", ".join([*SamplingParams.__dataclass_fields__, "max_tokens", "stop"])
            raise UsageError(f"there is no setting {name}; set {names}")

    def options(self) -> dict[str, Any]:
        """What set_option sets, as it is in force."""
        return vars(SamplingParams(**self.sampling)) | {"max_tokens": self.max_tokens, "stop": self.stop}

    def set_memory(self, memory: bool) -> None:
        """Switch the Engram layers. A context is computed wholly with or wholly without them, so the next answer
        evaluates the conversation again."""
        if memory != self.memory:
            self.memory = memory
            self._restart()

    def pretend(self, names: Mapping[str, str]) -> None:
        """Let the n-grams of names read the rows of others ({} ends it); the next answer evaluates the conversation
        again. Raises UsageError where two names have not equally many tokens; nothing has changed then."""
        self.model.substitution(names)
        self.pretended = dict(names)
        self._restart()

    def set_thinking(self, on: bool) -> None:
        """Let the model think before it answers, or not. Raises UsageError where its template has no such switch."""
        if not self.template.switches_thoughts:
            raise UsageError("this model's chat template has no switch for thinking")
        self.variables["enable_thinking"] = on

    def reset(self) -> None:
        """Forget all but the system message."""
        self.messages = list(self.system_messages)
        self.last_step = None
        self._restart()

    def save(self, path: str | Path) -> None:
        """Write the conversation as JSON; refuses to overwrite. Raises UsageError."""
        content = {"model": str(self.model.folder.path), "memory": self.memory, "messages": self.messages}
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        try:
            path = Path(path).expanduser()
            if path.exists():
                raise UsageError(f"{path} exists; choose another name")
            partial = path.with_name(path.name + ".partial")
            try:
                partial.write_bytes(text.encode("utf-8", "replace"))
                os.replace(partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        except (OSError, ValueError, RuntimeError) as error:  # no such home, a name that cannot be one
            raise UsageError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error

    def load(self, path: str | Path) -> None:
        """Go on with a conversation that `save` wrote. Raises UsageError; nothing has changed then."""
        content = read_json(path, UsageError)
        messages = content.get("messages") if isinstance(content, dict) else None
        if not isinstance(messages, list) or not all(
            isinstance(m, dict) and isinstance(m.get("role"), str) and isinstance(m.get("content"), str)
            for m in messages
        ):
            raise UsageError(f"{path}: holds no conversation; /save writes one")
        n_system = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
        self.messages, self.system_messages = messages, messages[:n_system]
        self._restart()

    def _restart(self) -> None:
        for session in (self.session, self._contrast):
            if session is not None:
                session.close()
        self.session, self._contrast = self.model.session(self.memory, pretend=self.pretended), None
        self._last_tokens = []

    def _encode(self, messages: list[Message]) -> list[int]:
        """Token ids of the prompt; those of the latest messages are kept, for they are asked for again."""
        key = (messages, dict(self.variables))
        if self._encoded[0] != key:
            self._encoded = (key, self.model.tokenizer.encode_chat(messages, **self.variables))
        return self._encoded[1]


def _number(text: str) -> int | float | None:
    """A number as people type it; "none" is None. Raises UsageError."""
    if text.lower() in ("", "none"):
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not a number") from None


def _count_turns(messages: Sequence[Message]) -> int:
    return sum(m["role"] == "user" for m in messages)
