"""A loaded model: backbone, tables, hasher and tokenizer of one model folder. `load` is where Python users begin."""

import ctypes
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

from engram_local.arguments import integer
from engram_local.backends import choose_backend, open_backend
from engram_local.backends.base import Backend
from engram_local.chat_template import Message
from engram_local.end_tokens import end_tokens
from engram_local.errors import ContextOverflowError, ModelFolderError, UsageError
from engram_local.hashing import NgramHasher
from engram_local.lookup import RowSource
from engram_local.machine import physical_cores, usable_cpus
from engram_local.model_folder import POCKET, ModelFolder
from engram_local.sampling import own_settings
from engram_local.session import Session
from engram_local.substitution import Substitution
from engram_local.tables.model_tables import ModelTables
from engram_local.tokenization import Tokenizer, open_tokenizer


def load(
    path: str | Path | None = None,
    *,
    backend: str = "auto",
    threads: int | None = None,
    memory: bool = True,
    table_access: str = "auto",
    ram_limit: int | str | None = None,
    context_length: int | None = None,
    verbose: bool = False,
    **backend_options: Any,
) -> "Model":
    """Open a model folder and load it.

    Parameters: path: a model folder, by default the pocket model of this package; backend: "auto", "onnx" or "gguf";
                threads: of the backbone, by default one per physical core, at most one per CPU; memory: False leaves
                the Engram layers out of every session that does not ask for them; table_access, ram_limit: see
                tables/budget.py, bytes or text ("2GiB"); context_length: tokens, by default the model's own;
                backend_options: passed to the backend (n_sequences, sessions that step together; gguf:
                n_gpu_layers; onnx: spinning).
    Raises:     EngramError (ModelFolderError, ConfigError, TableError, BackendError): one line saying what to do.
    """
    folder = ModelFolder.open(path if path is not None else POCKET)
    limit = folder.context_length
    if context_length is not None and not 1 <= integer(context_length, "context_length") <= limit:
        raise ContextOverflowError(f"context_length is {context_length}; this model takes 1 to {limit} tokens")
    threads = physical_cores() if threads is None else integer(threads, "threads", 1)
    least = min(limit, 512)
    name, why = choose_backend(folder, backend, threads=min(threads, usable_cpus()), context_length=least)
    model = Model(
        folder,
        name,
        threads=threads,
        memory=memory,
        table_access=table_access,
        ram_limit=ram_limit,
        context_length=context_length or limit,
        verbose=verbose,
        backend_options=backend_options,
    )
    model.why_backend = why
    return model


class Model:
    """Everything of a model that sessions share. Close it, or use it as a context manager; a closed one raises
    UsageError from every method, and so does one that was loaded before fork() in the child.

    notes: what took effect in another way than it was asked for, a line each; why_backend: why this runtime was taken.
    """

    def __init__(
        self,
        folder: ModelFolder,
        backend_name: str,
        *,
        threads: int,
        memory: bool,
        table_access: str,
        ram_limit: int | str | None,
        context_length: int,
        verbose: bool,
        backend_options: dict[str, Any],
    ):
        """Use `load`."""
        self._backend: Backend | None = None
        self._tables: ModelTables | None = None
        self._sessions: WeakSet[Session] = WeakSet()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.folder = folder
        self.config = folder.engram
        self.notes: list[str] = []
        self.why_backend = "it was asked for"
        self.threads = min(threads, usable_cpus())
        if self.threads < threads:
            self.notes.append(f"{threads} threads were asked for, {self.threads} are used: one for each CPU there is")
        self.memory = memory
        self.hasher = NgramHasher(folder.engram, folder.token_map)
        try:
            self._tables = ModelTables.of(folder, table_access, ram_limit)
            self._backend = open_backend(
                backend_name,
                folder,
                threads=self.threads,
                context_length=context_length,
                verbose=verbose,
                **backend_options,
            )
            self.notes += self._backend.notes
            self.context_length = min(context_length, self._backend.context_length)
            self.tokenizer: Tokenizer = open_tokenizer(folder)
            self._check_tokenizer()
            self.eos_ids = frozenset(end_tokens(folder, self.tokenizer, self._backend.end_ids()))
        except BaseException:
            self.close()
            raise
        _models.add(self)

    @property
    def backend(self) -> Backend:
        """The loaded backbone."""
        return self.check_open()[0]

    @property
    def tables(self) -> ModelTables:
        """The tables: {layer_id: Table}, read together."""
        return self.check_open()[1]

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that loaded the model, with the memory but without the threads."""
        return self._pid != os.getpid()

    @property
    def n_tokens(self) -> int:
        """Token ids that both the backbone and the hashing know; a backbone's vocabulary is often padded."""
        return min(self.hasher.vocab_size, self.backend.vocab_size)

    def check_open(self) -> tuple[Backend, ModelTables]:
        """What is open. Raises UsageError where the model cannot be used."""
        if self._pid != os.getpid():
            raise UsageError(
                "the model was loaded before fork(), and its threads are not in this process; load it in a spawned one"
            )
        if self._backend is None or self._tables is None:
            raise UsageError("the model is closed; load it again")
        return self._backend, self._tables

    def session(
        self,
        memory: bool | None = None,
        rows: RowSource | None = None,
        pretend: Mapping[str, str] | None = None,
    ) -> Session:
        """A new, empty context. `memory` None takes what the model was loaded with; `rows` stands in for the tables;
        `pretend` {"France": "Japan"} lets the n-grams of one name read the rows of the other (`substitution`)."""
        self.check_open()
        substitution = self.substitution(pretend) if pretend else None
        with self._lock:
            self.check_open()
            session = Session(self, self.memory if memory is None else memory, rows, substitution)
            self._sessions.add(session)
        return session

    def generate(
        self,
        prompt: str | Sequence[Message],
        *,
        raw: bool = False,
        memory: bool | None = None,
        pretend: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Iterator[str]:
        """Stream the answer's text in pieces.

        Parameters: prompt: a text (one user message; with raw=True or where the model has no chat template, the text to
                    continue) or a conversation of {"role", "content"} objects; pretend: see `session`; options: of
                    generation.generate (max_tokens, stop, temperature, top_k, top_p, min_p, repetition_penalty,
                    seed); by default the model's own.
        Example:    print("".join(model.generate("What is the capital of France?")))
        """
        from engram_local.generation import generate

        session = self.session(memory, pretend=pretend)
        try:
            options = {"max_tokens": self.folder.max_new_tokens} | self.sampling(**options)
            for step in generate(session, self.prompt_ids(prompt, raw), **options):
                if step.text:
                    yield step.text
        finally:
            session.close()

    def prompt_ids(self, prompt: str | Sequence[Message], raw: bool = False, **variables: Any) -> list[int]:
        """Token ids of a prompt as `generate` takes it; see generation.prompt_ids."""
        from engram_local.generation import prompt_ids

        self.check_open()
        return prompt_ids(self.tokenizer, prompt, raw, self.context_length, **variables)

    def substitution(self, pretend: Mapping[str, str]) -> Substitution:
        """{name: other name} as a session takes it: inside a sentence, and at its beginning where both have equally
        many tokens there too. Raises UsageError where they have not inside of one."""
        names = []
        for name, other in pretend.items():
            if not isinstance(name, str) or not isinstance(other, str) or not name.strip() or not other.strip():
                raise UsageError(f"pretend is {name!r}: {other!r}; give two names, as in {{'France': 'Japan'}}")
            first = [self.tokenizer.encode(x.strip(), add_special_tokens=False) for x in (name, other)]
            inside = [self._inside(x.strip()) for x in (name, other)]
            if len(inside[0]) != len(inside[1]):
                raise UsageError(
                    f"{name.strip()} has {len(inside[0])} tokens and {other.strip()} {len(inside[1])}: "
                    "a name can be read as another that has equally many"
                )
            names += [x for x in (inside, first) if len(x[0]) == len(x[1])]
        return Substitution(self.hasher, [(name, other) for name, other in names])

    def _inside(self, name: str) -> list[int]:
        """A name's tokens where a word stands before it."""
        before, both = (self.tokenizer.encode(x, add_special_tokens=False) for x in ("of", f"of {name}"))
        return both[len(before) :]

    def sampling(self, **given: Any) -> dict[str, Any]:
        """Fields of SamplingParams: those given and not None, else the model's own (generation_config.json). Raises
        ModelFolderError where those cannot be."""
        own = own_settings(self.folder.generation_config(), f"{self.folder.path}/generation_config.json")
        return own | {key: value for key, value in given.items() if value is not None}

    def stats(self) -> dict[int, dict[str, Any]]:
        """{layer_id: what took effect and what was read since the tables were opened} (tables.Table.stats)."""
        return self.tables.stats()

    def close(self) -> None:
        """Give back files and memory, once a forward that another thread is in has ended. Sessions of this model end
        with it. Closing again does nothing."""
        if self.forked:
            return
        with self._lock:
            backend, self._backend = self._backend, None
            for session in list(self._sessions):
                session.close()
            if backend is not None:
                backend.close()
            if self._tables is not None:
                self._tables.close()

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_tokenizer(self) -> None:
        """A tokenizer with ids that the token map or the backbone does not know belongs to another model."""
        known = self.n_tokens
        if self.tokenizer.vocab_size > known:
            raise ModelFolderError(
                f"{self.folder.path}: the tokenizer has {self.tokenizer.vocab_size} tokens, the model knows {known}: "
                "every row would be wrong; use the model's own tokenizer.json"
            )


_models: WeakSet[Model] = WeakSet()


def _after_fork() -> None:
    """A runtime whose threads stayed in the parent waits for them when it is freed: a child never frees it."""
    for model in _models:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
