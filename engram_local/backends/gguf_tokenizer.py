"""A GGUF file's own tokenizer and chat template, for model folders without a tokenizer.json."""

import ctypes
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from engram_local.backends.llama_library import llama, load_model
from engram_local.chat_template import ChatTemplate
from engram_local.errors import ModelFolderError
from engram_local.graph_names import GGUF_FILE
from engram_local.tokenization import Tokenizer, unicode

VOCAB_NONE = 0  # llama_vocab_type
UNUSED, NORMAL, CONTROL, BYTE, LSTRIP, RSTRIP = 2, 4, 8, 32, 128, 256  # llama_token_attr


class GgufTokenizer(Tokenizer):
    """Stands where a Tokenizer stands; llama.cpp does the work, on the vocabulary alone (no weights are loaded)."""

    source = GGUF_FILE

    def __init__(self, path: str | Path | Sequence[Path]):
        """path: a GGUF, or its parts in order. Raises BackendError where it cannot be loaded, ModelFolderError where
        it holds no tokenizer."""
        self.path = Path(path) if isinstance(path, (str, Path)) else path[0]
        self._lib = lib = llama()
        self._model = load_model(path, vocab_only=True)
        self.vocab = lib.llama_model_get_vocab(self._model)
        if lib.llama_vocab_type(self.vocab) == VOCAB_NONE:
            raise ModelFolderError(f"{self.path}: holds no tokenizer; put the model's tokenizer.json into the folder")
        n = lib.llama_vocab_n_tokens(self.vocab)
        attributes = [lib.llama_vocab_get_attr(self.vocab, i) for i in range(n)]
        while n and attributes[n - 1] & UNUSED:  # rows that pad the embedding
            n -= 1
        self._n_tokens = n
        self._attributes = attributes[:n]
        self._ids: dict[str, int] | None = None
        ids = {kind: getattr(lib, f"llama_vocab_{kind}")(self.vocab) for kind in ("bos", "eos", "pad")}
        self.special = {f"{kind}_token": self.piece(i) for kind, i in ids.items() if 0 <= i < n}
        template = lib.llama_model_chat_template(self._model, None)
        self.template_source: str | None = template.decode("utf-8", "replace") if template else None
        if self.template_source:
            self.template = ChatTemplate(self.template_source, self.special, str(path))

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary, padding apart."""
        return self._n_tokens

    def piece(self, token_id: int) -> str:
        """The token as the vocabulary spells it (byte-level and SentencePiece spellings as they are)."""
        return self._lib.llama_vocab_get_text(self.vocab, token_id).decode("utf-8", "replace")

    def is_text(self, token_id: int) -> bool:
        """Whether text is made of the token: no control token, and none that was added or only pads the vocabulary."""
        return bool(self._attributes[token_id] & (NORMAL | BYTE))

    def end_ids(self) -> list[int]:
        """Tokens that end an answer."""
        return model_end_ids(self._model)

    def token_id(self, token: str) -> int | None:
        """See Tokenizer."""
        if self._ids is None:
            self._ids = {self.piece(i): i for i in range(self._n_tokens)}
        return self._ids.get(token)

    @cached_property
    def control_ids(self) -> dict[str, int]:
        """{text: id} of the control tokens."""
        return {text: i for i, a in enumerate(self._attributes) if a & CONTROL and (text := self.piece(i))}

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """See Tokenizer."""
        return self._encode(text, add_special_tokens, True)

    def _encode(self, text: str, add_special_tokens: bool, parse_special: bool) -> list[int]:
        data = unicode(text).encode("utf-8")
        size = len(data) + 2
        tokens = (ctypes.c_int32 * size)()
        n = self._lib.llama_tokenize(self.vocab, data, len(data), tokens, size, add_special_tokens, parse_special)
        if n < 0:
            raise ModelFolderError(f"{self.path}: llama.cpp cannot tokenize a text of {len(data)} bytes")
        return list(tokens[:n])

    def _encode_parts(self, parts: list[str]) -> list[int]:
        """llama.cpp cuts a text at its control tokens too, and takes each part for itself."""
        ids: list[int] = []
        for i, part in enumerate(parts):
            if i % 2:
                ids.append(self.control_ids[part])
                continue
            if i and self._attributes[ids[-1]] & RSTRIP:
                part = part.lstrip()
            if i + 1 < len(parts) and self._attributes[self.control_ids[parts[i + 1]]] & LSTRIP:
                part = part.rstrip()
            if part:
                ids += self._encode(part, False, False)
        return ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """See Tokenizer."""
        ids = [int(t) for t in token_ids]
        if skip_special_tokens:
            ids = [i for i in ids if not self._attributes[i] & CONTROL]
        array = (ctypes.c_int32 * len(ids))(*ids)
        size = 64 + 16 * len(ids)
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = self._lib.llama_detokenize(self.vocab, array, len(ids), buffer, size, False, True)
            if n >= 0:
                return buffer.raw[:n].decode("utf-8", "replace")
            size = -n

    def __del__(self) -> None:
        if getattr(self, "_model", None):
            self._lib.llama_model_free(self._model)
            self._model = None


def model_end_ids(model: Any) -> list[int]:
    """Tokens that end an answer by the vocabulary of a llama_model; none where it has no vocabulary."""
    lib = llama()
    vocab = lib.llama_model_get_vocab(model)
    if lib.llama_vocab_type(vocab) == VOCAB_NONE:
        return []
    return [i for i in range(lib.llama_vocab_n_tokens(vocab)) if lib.llama_vocab_is_eog(vocab, i)]


def read_end_ids(path: Path | Sequence[Path]) -> list[int]:
    """`model_end_ids` of a GGUF file. Raises BackendError where it cannot be loaded."""
    model = load_model(path, vocab_only=True)
    try:
        return model_end_ids(model)
    finally:
        llama().llama_model_free(model)
