"""A loaded model: backbone, tables, hasher and tokenizer of one model folder. `load` is where Python users begin."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from engram_local.backends import choose_backend, open_backend
from engram_local.backends.base import Backend
from engram_local.errors import ContextOverflowError, EngramError, ModelFolderError, UsageError
from engram_local.hashing import NgramHasher
from engram_local.machine import physical_cores
from engram_local.model_folder import POCKET, ModelFolder
from engram_local.session import Session
from engram_local.sizes import format_size
from engram_local.tables.links import read_layout
from engram_local.tables.table import LEAST_READ_BYTES, RowReader, Table
from engram_local.tokenization import open_tokenizer


def load(
    path: str | Path | None = None,
    *,
    backend: str = "auto",
    threads: int | None = None,
    memory: bool = True,
    table_access: str = "auto",
    ram_limit: int | None = None,
    context_length: int | None = None,
    verbose: bool = False,
    **backend_options,
) -> "Model":
    """Open a model folder and load it.

    Parameters: path: a model folder, by default the pocket model of this package; backend: "auto", "onnx" or "gguf";
                threads: of the backbone, by default one per physical core; memory: False leaves the Engram layers out
                of every session that does not ask for them; table_access: see tables.Table; ram_limit: bytes of
                memory that the rows of all tables may take; context_length: tokens, by default the model's own;
                backend_options: passed to the backend (gguf: n_gpu_layers; onnx: spinning).
    Raises:     EngramError (ModelFolderError, ConfigError, TableError, BackendError): one line saying what to do.
    """
    folder = ModelFolder.open(path if path is not None else POCKET)
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; give a number from 1")
    name = choose_backend(folder, backend)
    limit = folder.context_length
    if context_length is not None and not 1 <= context_length <= limit:
        raise ContextOverflowError(f"context_length is {context_length}; this model takes 1 to {limit} tokens")
    return Model(
        folder,
        name,
        threads=threads or physical_cores(),
        memory=memory,
        table_access=table_access,
        ram_limit=ram_limit,
        context_length=context_length or limit,
        verbose=verbose,
        backend_options=backend_options,
    )


class Model:
    """Everything of a model that sessions share. Close it, or use it as a context manager."""

    def __init__(
        self,
        folder,
        backend_name,
        *,
        threads,
        memory,
        table_access,
        ram_limit,
        context_length,
        verbose,
        backend_options,
    ):
        """Use `load`."""
        self.folder: ModelFolder = folder
        self.config = folder.engram
        self.threads = threads
        self.memory = memory
        self.table_access, self.ram_limit = table_access, ram_limit
        self.hasher = NgramHasher(folder.engram, folder.token_map)
        self.tables: dict[int, Table] = {}
        self.reader: RowReader | None = None
        self.backend: Backend | None = None
        try:
            self.tables = open_tables(folder, table_access, ram_limit)
            self.reader = RowReader(self.tables)
            self.backend = open_backend(
                backend_name,
                folder,
                threads=threads,
                context_length=context_length,
                verbose=verbose,
                **backend_options,
            )
            self.context_length = min(context_length, self.backend.context_length)
            self.tokenizer = open_tokenizer(folder)
            self._check_tokenizer()
            self.eos_ids = folder.eos_ids() or frozenset(self.tokenizer.end_ids())
        except BaseException:
            self.close()
            raise

    @property
    def n_tokens(self) -> int:
        """Token ids that both the backbone and the hashing know; a backbone's vocabulary is often padded."""
        return min(self.hasher.vocab_size, self.backend.vocab_size)

    def session(self, memory: bool | None = None) -> Session:
        """A new, empty context. `memory` None takes what the model was loaded with."""
        if self.backend is None:
            raise UsageError("this model is closed; load it again")
        return Session(self, self.memory if memory is None else memory)

    def generate(
        self,
        prompt: str | Sequence[dict[str, str]],
        *,
        raw: bool = False,
        memory: bool | None = None,
        **options,
    ) -> Iterator[str]:
        """Stream the answer's text in pieces.

        Parameters: prompt: a text (one user message; with raw=True or where the model has no chat template, the text to
                    continue) or a conversation of {"role", "content"} objects; options: of generation.generate
                    (max_tokens, stop, temperature, top_k, top_p, min_p, repetition_penalty, seed); by default the
                    model's own.
        Example:    print("".join(model.generate("What is the capital of France?")))
        """
        from engram_local.generation import generate

        session = self.session(memory)
        try:
            for step in generate(session, self.prompt_ids(prompt, raw), **self.sampling(**options)):
                if step.text:
                    yield step.text
        finally:
            session.close()

    def prompt_ids(self, prompt: str | Sequence[dict[str, str]], raw: bool = False) -> list[int]:
        """Token ids of a prompt as `generate` takes it. Raises EngramError where it is empty."""
        if not isinstance(prompt, str):
            return self.tokenizer.encode_chat(prompt)
        if not prompt:
            raise UsageError("the prompt is empty; give some text")
        if raw or self.tokenizer.template is None:
            return self.tokenizer.encode(prompt)
        return self.tokenizer.encode_chat([{"role": "user", "content": prompt}])

    def sampling(self, **given) -> dict:
        """Fields of SamplingParams: those given and not None, else the model's own (generation_config.json)."""
        own = self.folder.generation_config()
        filters = ("temperature", "top_k", "top_p", "min_p") if own.get("do_sample") else ()
        chosen = {"temperature": 1.0} if filters else {}
        chosen |= {key: own[key] for key in (*filters, "repetition_penalty") if own.get(key) is not None}
        return chosen | {key: value for key, value in given.items() if value is not None}

    def stats(self) -> dict:
        """What the table reader counted since the model was loaded."""
        return self.reader.stats()

    def close(self) -> None:
        """Give back files and memory; sessions of this model end with it."""
        if self.backend is not None:
            self.backend.close()
        if self.reader is not None:
            self.reader.close()
        for table in self.tables.values():
            table.close()
        self.backend, self.reader, self.tables = None, None, {}

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _check_tokenizer(self) -> None:
        """A tokenizer with ids that the token map or the backbone does not know belongs to another model."""
        known = self.n_tokens
        if self.tokenizer.vocab_size > known:
            raise ModelFolderError(
                f"{self.folder.path}: the tokenizer has {self.tokenizer.vocab_size} tokens, the model knows {known}: "
                "every row would be wrong; use the model's own tokenizer.json"
            )


def open_tables(folder: ModelFolder, access: str = "auto", ram_limit: int | None = None) -> dict[int, Table]:
    """{layer_id: Table}, checked against config.json; tables share `ram_limit` by size. Raises TableError,
    ModelFolderError."""
    tables = {}
    sizes = {x.layer_id: read_layout(folder.file(x.table)).data_bytes for x in folder.engram.layers}
    try:
        for layer in folder.engram.layers:
            path = folder.file(layer.table)
            share = sizes[layer.layer_id] / sum(sizes.values())
            table = tables[layer.layer_id] = Table(path, access=access, ram_limit=ram_limit, share=share)
            if table.access == "direct" and ram_limit is not None and ram_limit < LEAST_READ_BYTES:
                raise EngramError(
                    f"a RAM limit of {format_size(ram_limit)} is too little: reading rows from disk takes "
                    f"{format_size(LEAST_READ_BYTES)}; give more with --ram-limit"
                )
            found = (table.n_rows, table.dim, table.encoding)
            if found != (layer.n_rows, layer.head_dim, layer.encoding):
                raise ModelFolderError(
                    f"{path}: holds {found[0]} rows of {found[1]} values ({found[2]}), config.json says "
                    f"{layer.n_rows} of {layer.head_dim} ({layer.encoding}); export the model again"
                )
    except BaseException:
        for table in tables.values():
            table.close()
        raise
    return tables
