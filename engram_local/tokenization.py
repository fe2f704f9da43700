"""Text to token ids and back: tokenizer.json, the chat template, and text that streams without broken UTF-8.

Knows nothing of models, tables or sessions.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engram_local.errors import ModelFolderError
from engram_local.graph_names import GGUF_FILE

if TYPE_CHECKING:
    from engram_local.model_folder import ModelFolder

REPLACEMENT = "\ufffd"  # what a decoder puts where bytes are no UTF-8, an unfinished character included
SPECIAL_KEYS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


class ChatTemplate:
    """A Jinja chat template, rendered as Hugging Face renders it, in a sandbox: it comes with the model."""

    def __init__(self, source: str, variables: dict[str, str], name: str = "chat_template.jinja"):
        """`variables` are the special tokens that templates name (bos_token, ...). Raises ModelFolderError."""
        import jinja2
        from jinja2.ext import Extension, loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        class Generation(Extension):
            """`{% generation %}` marks the assistant's text for trainers; here its body is plain text."""

            tags = {"generation"}  # noqa: RUF012 (jinja2 reads a class attribute)

            def parse(self, parser):
                next(parser.stream)
                return parser.parse_statements(["name:endgeneration"], drop_needle=True)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self.name = name
        self.variables = variables
        try:
            self.template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise self._failed(error) from error

    def render(self, messages: Sequence[dict[str, str]], add_generation_prompt: bool = True, **variables: Any) -> str:
        """The text of a conversation. `messages`: {"role", "content"} objects; `variables` reach the template as they
        are (for instance enable_thinking). Raises ModelFolderError with the template's own complaint."""
        try:
            return self.template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self.variables,
                **variables,
            )
        except Exception as error:  # a template can fail in any way that Python can
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ModelFolderError:
        text = " ".join(str(error).split())[:200]
        return ModelFolderError(f"{self.name}: the chat template failed: {text}; use raw prompts, or another template")


def _tojson(value: Any, ensure_ascii: bool = False, indent=None, separators=None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str):
    raise ValueError(message)


def _strftime_now(form: str) -> str:
    from datetime import datetime

    return datetime.now().strftime(form)


class Tokenizer:
    """A tokenizer.json with what stands beside it: special tokens and the chat template."""

    max_length: int | None = None  # tokens that the model was trained to follow, where that is told

    def __init__(self, folder: str | Path):
        """Read tokenizer.json, tokenizer_config.json and chat_template.jinja of `folder` (the last two may be missing).
        Raises ModelFolderError."""
        import tokenizers

        from engram_local.model_folder import read_json

        folder = Path(folder)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelFolderError(f"{path}: no such file; copy the model's tokenizer.json there")
        try:
            self.core = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelFolderError(f"{path}: not a tokenizer: {str(error)[:160]}") from error
        self.core.no_padding()
        self.core.no_truncation()
        settings_path = folder / "tokenizer_config.json"
        settings = read_json(settings_path) if settings_path.is_file() else {}
        self.special = {key: _content(settings[key]) for key in SPECIAL_KEYS if settings.get(key) is not None}
        longest = settings.get("model_max_length")
        if type(longest) is int and 0 < longest < 2**31:  # Hugging Face writes 1e30 where nobody knows
            self.max_length = longest
        self.template = self._open_template(folder, settings)

    def _open_template(self, folder: Path, settings: dict) -> ChatTemplate | None:
        path = folder / "chat_template.jinja"
        if path.is_file():
            try:
                return ChatTemplate(path.read_text(encoding="utf-8"), self.special, str(path))
            except (OSError, UnicodeDecodeError) as error:
                raise ModelFolderError(f"{path}: cannot be read: {error}") from error
        source = settings.get("chat_template")
        if isinstance(source, list):  # several named templates
            named = {x.get("name"): x.get("template") for x in source if isinstance(x, dict)}
            source = named.get("default")
        return (
            ChatTemplate(source, self.special, f"{folder}/tokenizer_config.json") if isinstance(source, str) else None
        )

    @property
    def vocab_size(self) -> int:
        """Ids the tokenizer can produce, added tokens included."""
        return self.core.get_vocab_size(with_added_tokens=True)

    def token_id(self, token: str) -> int | None:
        return self.core.token_to_id(token)

    def end_ids(self) -> list[int]:
        """Tokens that end an answer, where the model's own config names none."""
        found = self.token_id(self.special["eos_token"]) if "eos_token" in self.special else None
        return [] if found is None else [found]

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of `text`; lone surrogates (bytes that were no UTF-8 on a command line) become U+FFFD."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self.core.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return self.core.decode([int(t) for t in token_ids], skip_special_tokens=skip_special_tokens)

    def encode_chat(self, messages: Sequence[dict[str, str]], **variables: Any) -> list[int]:
        """Token ids of a conversation, up to where the model's answer begins. Raises ModelFolderError where there is
        no chat template."""
        template = self.require_template()
        return self.encode(template.render(messages, **variables), add_special_tokens=False)

    def require_template(self) -> ChatTemplate:
        if self.template is None:
            raise ModelFolderError("this model has no chat template; give it a text to continue (generate --raw)")
        return self.template


def _content(token: Any) -> str:
    """Special tokens are written as a string or as {"content": ...}."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def open_tokenizer(folder: "ModelFolder") -> Tokenizer:
    """The folder's tokenizer.json, or the tokenizer inside its GGUF. Raises ModelFolderError where it has neither."""
    if folder.has_tokenizer or not folder.has_gguf:
        return Tokenizer(folder.path)
    from engram_local.backends.gguf_tokenizer import GgufTokenizer

    return GgufTokenizer(folder.file(GGUF_FILE))


class Detokenizer:
    """Turns a stream of token ids into text, never showing half a character.

    Text is decoded over a short window that starts at the last clean point, so a step costs the same however long the
    answer is, and decoders that look at their neighbours (a leading space, byte fallback) see one.
    Example: a euro sign split over two tokens: step(a) -> "", step(b) -> "€".
    """

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.window: list[int] = []  # ids since the clean point before the last
        self.read = 0  # of these, ids whose text is out already
        self.sent = ""  # the part of the window's text that is out already

    def step(self, token_id: int) -> str:
        """Text that has become certain with this token, perhaps none."""
        self.window.append(int(token_id))
        text = self.tokenizer.decode(self.window)
        whole = text.rstrip(REPLACEMENT)
        new = ""
        if len(whole) > len(self.sent):
            new = whole[len(self.sent) :]
            self.sent = whole
        if text == whole:
            self.window = self.window[self.read :]
            self.read = len(self.window)
            self.sent = self.tokenizer.decode(self.window)
        return new

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that never came whole."""
        rest = self.tokenizer.decode(self.window)[len(self.sent) :]
        self.window, self.read, self.sent = [], 0, ""
        return rest
