"""A GGUF file's own tokenizer and chat template, for model folders without a tokenizer.json."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

from engram_local.backends.llama_library import llama, load_model
from engram_local.errors import ModelFolderError
from engram_local.tokenization import ChatTemplate, Tokenizer

VOCAB_NONE = 0  # llama_vocab_type
UNUSED, NORMAL, CONTROL, BYTE = 2, 4, 8, 32  # llama_token_attr


class GgufTokenizer(Tokenizer):
    """Stands where a Tokenizer stands; llama.cpp does the work, on the vocabulary alone (no weights are loaded)."""

    def __init__(self, path: str | Path):
        """Raises BackendError where the file cannot be loaded, ModelFolderError where it holds no tokenizer."""
        self.path = Path(path)
        self._lib = lib = llama()
        self._model = load_model(path, vocab_only=True)
        self._vocab = lib.llama_model_get_vocab(self._model)
        if lib.llama_vocab_type(self._vocab) == VOCAB_NONE:
            raise ModelFolderError(f"{path}: holds no tokenizer; put the model's tokenizer.json into the folder")
        n = lib.llama_vocab_n_tokens(self._vocab)
        attributes = [lib.llama_vocab_get_attr(self._vocab, i) for i in range(n)]
        while n and attributes[n - 1] & UNUSED:  # rows that pad the embedding
            n -= 1
        self._n_tokens = n
        self._attributes = attributes[:n]
        self._ids: dict[str, int] | None = None
        ids = {kind: getattr(lib, f"llama_vocab_{kind}")(self._vocab) for kind in ("bos", "eos", "pad")}
        self.special = {f"{kind}_token": self.piece(i) for kind, i in ids.items() if 0 <= i < n}
        template = lib.llama_model_chat_template(self._model, None)
        self.template_source = template.decode("utf-8", "replace") if template else None
        self.template = ChatTemplate(self.template_source, self.special, str(path)) if template else None

    @property
    def vocab_size(self) -> int:
        return self._n_tokens

    def piece(self, token_id: int) -> str:
        """The token as the vocabulary spells it (byte-level and SentencePiece spellings as they are)."""
        return self._lib.llama_vocab_get_text(self._vocab, token_id).decode("utf-8", "replace")

    def is_text(self, token_id: int) -> bool:
        """Whether text is made of the token: no control token, and none that was added or only pads the vocabulary."""
        return bool(self._attributes[token_id] & (NORMAL | BYTE))

    def end_ids(self) -> list[int]:
        """Tokens that end an answer."""
        return [i for i in range(self._n_tokens) if self._lib.llama_vocab_is_eog(self._vocab, i)]

    def token_id(self, token: str) -> int | None:
        if self._ids is None:
            self._ids = {self.piece(i): i for i in range(self._n_tokens)}
        return self._ids.get(token)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        data = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")
        size = len(data) + 2
        tokens = (ctypes.c_int32 * size)()
        n = self._lib.llama_tokenize(self._vocab, data, len(data), tokens, size, add_special_tokens, True)
        if n < 0:
            raise ModelFolderError(f"{self.path}: llama.cpp cannot tokenize a text of {len(data)} bytes")
        return list(tokens[:n])

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        ids = [int(t) for t in token_ids]
        if skip_special_tokens:
            ids = [i for i in ids if not self._attributes[i] & CONTROL]
        array = (ctypes.c_int32 * len(ids))(*ids)
        size = 64 + 16 * len(ids)
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = self._lib.llama_detokenize(self._vocab, array, len(ids), buffer, size, False, True)
            if n >= 0:
                return buffer.raw[:n].decode("utf-8", "replace")
            size = -n

    def __del__(self):
        if getattr(self, "_model", None):
            self._lib.llama_model_free(self._model)
            self._model = None
