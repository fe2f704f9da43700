"""Text to token ids and back: tokenizer.json, control tokens, and text that streams without broken UTF-8.

Knows nothing of models, tables or sessions. Control tokens (tokenizer.json's special tokens, llama.cpp's control
tokens) are what a chat template writes between the messages; what a message holds never becomes one.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engram_local.arguments import check_text_alone
from engram_local.chat_template import ChatTemplate, Message
from engram_local.errors import ModelFolderError

if TYPE_CHECKING:
    from engram_local.model_folder import ModelFolder

REPLACEMENT = "\ufffd"  # what a decoder puts where bytes are no UTF-8, an unfinished character included
ALIAS, MARK = "\ufdd0\ufdd1", "\ufdd2"  # no characters by Unicode's own word: free for use inside a program
MOST_UNFINISHED = 3  # bytes of a UTF-8 character that may still become one; a decoder shows up to one U+FFFD for each
SPECIAL_KEYS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class Tokenizer:
    """A tokenizer.json with what stands beside it: special tokens and the chat template."""

    source = "tokenizer_config.json"  # the file that `end_ids` stand in
    max_length: int | None = None  # tokens that the model was trained to follow, where that is told
    template: ChatTemplate | None = None

    def __init__(self, folder: str | Path, files: Sequence[str] = FILES):
        """Read those of `files` that lie in `folder`: tokenizer.json, and what else is there of tokenizer_config.json
        and chat_template.jinja. Raises ModelFolderError."""
        import tokenizers

        from engram_local.model_folder import read_json

        folder = Path(folder)
        path = folder / "tokenizer.json"
        if path.name not in files or not path.is_file():
            raise ModelFolderError(f"{path}: no such file; copy the model's tokenizer.json there")
        try:
            self.core = tokenizers.Tokenizer.from_buffer(path.read_bytes())
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelFolderError(f"{path}: not a tokenizer: {str(error)[:160]}") from error
        self.core.no_padding()
        self.core.no_truncation()
        path = folder / "tokenizer_config.json"
        settings = read_json(path) if path.name in files and path.is_file() else {}
        if not isinstance(settings, dict):
            raise ModelFolderError(f"{path}: not a JSON object; fetch it again")
        self.special = {key: _content(settings[key]) for key in SPECIAL_KEYS if settings.get(key) is not None}
        longest = settings.get("model_max_length")
        if type(longest) is int and 0 < longest < 2**31:  # Hugging Face writes 1e30 where nobody knows
            self.max_length = longest
        self.template = self._open_template(folder, files, settings)

    def _open_template(self, folder: Path, files: Sequence[str], settings: dict[str, Any]) -> ChatTemplate | None:
        path = folder / "chat_template.jinja"
        if path.name in files and path.is_file():
            try:
                return ChatTemplate(path.read_text(encoding="utf-8"), self.special, str(path))
            except (OSError, UnicodeDecodeError) as error:
                raise ModelFolderError(f"{path}: cannot be read: {error}") from error
        source = settings.get("chat_template")
        if isinstance(source, list):  # several named templates
            named = {str(x.get("name")): x.get("template") for x in source if isinstance(x, dict)}
            source = named.get("default")
        return (
            ChatTemplate(source, self.special, f"{folder}/tokenizer_config.json") if isinstance(source, str) else None
        )

    @property
    def vocab_size(self) -> int:
        """Ids the tokenizer can produce, added tokens included."""
        return self.core.get_vocab_size(with_added_tokens=True)

    def token_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary spells it, None where it holds none."""
        return self.core.token_to_id(token)

    @cached_property
    def control_ids(self) -> dict[str, int]:
        """{text: id} of the control tokens."""
        named = set(self.special.values())
        added = self.core.get_added_tokens_decoder()
        return {x.content: i for i, x in added.items() if x.content and (x.special or x.content in named)}

    def end_ids(self) -> list[int]:
        """Tokens that end an answer as this tokenizer's own files say: the end-of-sequence token."""
        found = self.token_id(self.special["eos_token"]) if "eos_token" in self.special else None
        return [] if found is None else [found]

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of `text`, control tokens in it included; lone surrogates (bytes that were no UTF-8 on a command
        line) become U+FFFD."""
        return self.core.encode(unicode(text), add_special_tokens=add_special_tokens).ids

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Text of token ids; half a character is U+FFFD."""
        return self.core.decode([int(t) for t in token_ids], skip_special_tokens=skip_special_tokens)

    def encode_chat(self, messages: Sequence[Message], **variables: Any) -> list[int]:
        """Token ids of a conversation, up to where the model's answer begins. A control token that a message spells
        (of any role; the results of tools too) is text. Raises ModelFolderError where there is no chat template,
        UsageError for messages with images."""
        template = self.require_template()
        check_text_alone(messages)
        guard = _Guard(self._control_pattern, (messages, variables))
        if not guard.found:
            return self.encode(template.render(messages, **variables), add_special_tokens=False)
        text = template.render(guard.hide(messages), **guard.hide(variables))
        parts = self._control_pattern.split(unicode(text))
        return self._encode_parts([part if i % 2 else guard.restore(part) for i, part in enumerate(parts)])

    @cached_property
    def _control_pattern(self) -> re.Pattern[str]:
        """Any control token, the longest first; matches nothing where there are none."""
        longest_first = sorted(self.control_ids, key=len, reverse=True)
        return re.compile("(" + ("|".join(map(re.escape, longest_first)) or r"(?!)") + ")")

    def _encode_parts(self, parts: list[str]) -> list[int]:
        """Token ids of [text, control token, text, ..., text], nothing in the texts being a control token."""
        tokenizer, names = self._with_aliases
        text = "".join(names[x] if i % 2 else x.replace(ALIAS[0], REPLACEMENT) for i, x in enumerate(parts))
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        n = self.vocab_size
        aliased = [self.control_ids[x] for x in names]
        return [aliased[i - n] if i >= n else i for i in ids]

    @cached_property
    def _with_aliases(self) -> tuple[Any, dict[str, str]]:
        """A tokenizer that takes its control tokens for text and knows each by an alias that no text spells; {control
        token: alias}. The alias of the i-th has the id vocab_size + i."""
        import tokenizers

        definition = json.loads(self.core.to_str())
        flags = {}
        for token in definition["added_tokens"]:
            if token["content"] in self.control_ids:
                token["special"] = True
                flags[token["content"]] = {x: token[x] for x in ("lstrip", "rstrip", "single_word")}
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(definition))
        tokenizer.encode_special_tokens = True
        names = {text: f"{ALIAS[0]}{i}{ALIAS[1]}" for i, text in enumerate(self.control_ids)}
        aliases = [tokenizers.AddedToken(alias, normalized=False, **flags[text]) for text, alias in names.items()]
        tokenizer.add_tokens(aliases)
        return tokenizer, names

    def require_template(self) -> ChatTemplate:
        """The chat template. Raises ModelFolderError where there is none."""
        if self.template is None:
            raise ModelFolderError("this model has no chat template; give it a text to continue (generate --raw)")
        return self.template


class _Guard:
    """Hides control tokens that messages spell from the one who looks for those that the template writes.

    Each becomes a mark that no message holds, and its own text again once the template's are found.
    """

    def __init__(self, pattern: re.Pattern[str], value: Any):
        self.pattern = pattern
        self.found: list[str] = []  # what stands behind mark i
        longest = 0

        def look(text: str) -> str:
            nonlocal longest
            self.found.extend(pattern.findall(text))
            longest = max(longest, *(len(x) for x in re.findall(f"{MARK}+", text)), 0)
            return text

        _map_texts(value, look)
        self.found = sorted(set(self.found))
        self.mark = MARK * (longest + 1)

    def hide(self, value: Any) -> Any:
        """`value` with marks in every string."""
        numbers = {text: i for i, text in enumerate(self.found)}
        return _map_texts(
            value, lambda text: self.pattern.sub(lambda m: f"{self.mark}{numbers[m[0]]}{self.mark}", unicode(text))
        )

    def restore(self, text: str) -> str:
        """A rendered text with what stood behind the marks."""
        return re.sub(f"{self.mark}([0-9]+){self.mark}", lambda m: self.found[int(m[1])], text)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """`value`, made of lists and dicts, with every string changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {k: _map_texts(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_texts(v, change) for v in value]
    return value


def unicode(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, and pairs of them as the character that they are."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _content(token: Any) -> str:
    """Special tokens are written as a string or as {"content": ...}."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def open_tokenizer(folder: "ModelFolder") -> Tokenizer:
    """The folder's tokenizer.json, or the tokenizer inside its GGUF. Raises ModelFolderError where it has neither."""
    if folder.has_tokenizer or not folder.has_gguf:
        return Tokenizer(folder.path, [x for x in FILES if folder.lists(x)])
    from engram_local.backends.gguf_tokenizer import GgufTokenizer

    return GgufTokenizer(folder.gguf_files())


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
        self.shown = 0  # of these, characters behind the last clean point

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
            self.read, self.shown = len(self.window), 0
            self.sent = self.tokenizer.decode(self.window)
            return new
        self.shown += len(new)
        if len(text) - len(whole) > MOST_UNFINISHED:
            new += self._give_up()
        return new

    def _give_up(self) -> str:
        """Let go of the first tokens that are held back where more of them wait than an unfinished character has."""
        held = self.window[self.read :]
        text = self.tokenizer.decode(held)
        if len(text) - len(text.rstrip(REPLACEMENT)) <= MOST_UNFINISHED:
            return ""
        for n in range(1, len(held) + 1):
            gone = self.tokenizer.decode(held[:n])
            if text.startswith(gone) and len(gone) > self.shown:
                new = gone[self.shown :]
                self.window, self.read, self.sent, self.shown = held[n:], 0, "", 0
                rest = self.tokenizer.decode(self.window) if self.window else ""
                if rest and not rest.endswith(REPLACEMENT):  # the others make sense without it
                    new, self.sent, self.read = new + rest, rest, len(self.window)
                return new
        return ""

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that never came whole."""
        rest = self.tokenizer.decode(self.window)[len(self.sent) :]
        self.window, self.read, self.sent, self.shown = [], 0, "", 0
        return rest
