"""tokenizer.json as a GGUF vocabulary, for llama.cpp's own use: the runtime tokenizes with tokenizer.json itself."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engram_local.errors import EngramError
from engram_local.tools.checkpoints.tensors import read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REST_SLASH = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Pre-tokenizer pattern in tokenizer.json -> llama.cpp's name for it.
PRE_TOKENIZERS = {
    CONTRACTIONS + WORDS + r"|\p{N}{1,3}" + REST: "dbrx",
    CONTRACTIONS + WORDS + r"|\p{N}" + REST: "qwen2",
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}{REST_SLASH}": "tekken",
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{CONTRACTIONS}?"
    rf"|\p{{N}}{{1,3}}{REST_SLASH}": "gpt-4o",
}


PROBE = (  # one after another: digits, contractions, scripts, punctuation, runs of white space
    "Hello world, it's 2026: 1234567 apples cost $3.50 (or 0x1F)!",
    "We'll DON'T can'T I'd THEY'RE CamelCaseWord snake_case HTTPServer",
    "naïve café Ångström ẃ ﬁ Straße İstanbul",
    "你好，世界。日本語テキスト 한국어 Привет мир שלום العربية हिन्दी ไทย",
    "emoji 🙂👩‍👩‍👧 ½ ² Ⅷ \u00a0 \u200b \ufeff",
    "tabs\tand  two   three    spaces \n\n  new lines\r\n\t\n end  ",
    'a/b\\c//d ... --- === #include <x.h> {"k": [1, 2]} foo(bar)[0]; x+=1',
)


def missing(folder: Path, family: str) -> str | None:
    """Why llama.cpp cannot tokenize as tokenizer.json in `folder` does, None where it can; `family` is the backbone's
    architecture in llama.cpp. A tokenizer of a known kind still has to cut PROBE into the same tokens."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return "there is no tokenizer.json"
    tokenizer = read_json(path)
    kind = _kind(tokenizer)
    if kind is None:
        return f"llama.cpp has no tokenizer of the kind {str(tokenizer.get('model', {}).get('type'))[:40]}"
    if kind == "gpt2" and _pre_tokenizer(tokenizer) is None:
        return "llama.cpp knows no pre-tokenizer with the pattern in tokenizer.json"
    return _probe(folder, family)


def _probe(folder: Path, family: str) -> str | None:
    """The same by trying: a file of the vocabulary alone. None too where llama.cpp is not installed."""
    import gguf
    import tokenizers

    try:
        from engram_local.backends.gguf_tokenizer import GgufTokenizer
    except ImportError:
        return None
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "vocabulary.gguf"
        writer = gguf.GGUFWriter(path, family)
        add_vocab(writer, folder, tokenizer.get_vocab_size())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        try:
            theirs = GgufTokenizer(path)
        except EngramError as error:
            return f"llama.cpp refuses it ({error})"
        for line in PROBE:
            ours = tokenizer.encode(line, add_special_tokens=False).ids
            if theirs.encode(line, add_special_tokens=False) != ours:
                return f"llama.cpp makes other tokens of {line[:20]!r} than tokenizer.json"
    return None


def add_vocab(writer: Any, folder: Path, n_vocab: int) -> set[str]:
    """Add the tokenizer of `folder`, for which `missing` found nothing, to a GGUFWriter; n_vocab rows, as the embedding
    has. Returns its pieces."""
    tokenizer = read_json(folder / "tokenizer.json")
    model, kind = tokenizer["model"], _kind(tokenizer)
    pieces: list[str | None] = [None] * n_vocab
    types = [UNUSED] * n_vocab
    for piece, i in model["vocab"].items():
        if i < n_vocab:
            pieces[i] = piece
            is_byte = kind == "llama" and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
            types[i] = BYTE if is_byte else UNKNOWN if piece == model.get("unk_token") else NORMAL
    for token in tokenizer.get("added_tokens", []):
        if token["id"] < n_vocab:
            pieces[token["id"]] = token["content"]
            if types[token["id"]] != UNKNOWN:
                types[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    writer.add_tokenizer_model(kind)
    writer.add_token_list([f"[PAD{i}]" if p is None else p for i, p in enumerate(pieces)])
    writer.add_token_types(types)
    merges = [tuple(m.split(" ", 1)) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    if kind == "gpt2":
        writer.add_tokenizer_pre(_pre_tokenizer(tokenizer))
        # A space inside a piece is Ġ in byte-level vocabularies, so " " parts the two without doubt.
        writer.add_token_merges([" ".join(m) for m in merges])
    else:
        # llama.cpp merges the pair whose piece has the highest score: the earliest merge.
        ranks: dict[str, int] = {}
        for rank, (left, right) in enumerate(merges):
            ranks.setdefault(left + right, rank)
        writer.add_tokenizer_pre("default")
        writer.add_token_scores([-float(ranks.get(p, len(merges))) for p in pieces])
        writer.add_add_space_prefix(_prepends_space(tokenizer))
    _add_special_tokens(writer, folder, tokenizer, pieces)
    return {p for p in pieces if p is not None}


def _kind(tokenizer: dict) -> str | None:
    """llama.cpp's tokenizer model: "gpt2" for byte-level BPE, "llama" for BPE made from SentencePiece."""
    model = tokenizer.get("model", {})
    if model.get("type") != "BPE":
        return None
    if any(part.get("type") == "ByteLevel" for part in _parts(tokenizer.get("pre_tokenizer"))):
        return "gpt2"
    return "llama" if model.get("byte_fallback") else None


def _parts(component: dict | None) -> list[dict]:
    """A tokenizer.json component, or the members of its Sequence."""
    if not component:
        return []
    for key in ("pretokenizers", "normalizers", "processors"):
        if key in component:
            return [part for member in component[key] for part in _parts(member)]
    return [component]


def _pre_tokenizer(tokenizer: dict) -> str | None:
    """llama.cpp's name for how the text is cut before it is merged, None where it has none."""
    parts = _parts(tokenizer.get("pre_tokenizer"))
    patterns = [p.get("pattern", {}).get("Regex") for p in parts if p.get("type") == "Split"]
    if len(patterns) == 1 and patterns[0] in PRE_TOKENIZERS:
        name = PRE_TOKENIZERS[patterns[0]]
        # Llama 3 splits as cl100k does and takes a whole word that is in the vocabulary without merging.
        return "llama-bpe" if name == "dbrx" and tokenizer["model"].get("ignore_merges") else name
    if not patterns and any(p.get("type") == "ByteLevel" and p.get("use_regex", True) for p in parts):
        return "smollm" if any(p.get("type") == "Digits" and p.get("individual_digits") for p in parts) else "gpt-2"
    return None


def _prepends_space(tokenizer: dict) -> bool:
    prepends = [p.get("type") == "Prepend" for p in _parts(tokenizer.get("normalizer"))]
    metaspace = [p for p in _parts(tokenizer.get("pre_tokenizer")) if p.get("type") == "Metaspace"]
    return any(prepends) or any(p.get("prepend_scheme", "always") != "never" for p in metaspace)


def _add_special_tokens(writer, folder: Path, tokenizer: dict, pieces: list[str | None]) -> None:
    def optional(name: str) -> dict:
        return read_json(folder / name) if (folder / name).is_file() else {}

    settings, config = optional("tokenizer_config.json"), optional("config.json") | optional("generation_config.json")
    for kind in ("bos", "eos", "unk", "pad"):
        token = settings.get(f"{kind}_token")
        token = token.get("content") if isinstance(token, dict) else token
        ids = config.get(f"{kind}_token_id")
        token_id = pieces.index(token) if token in pieces else ids[0] if isinstance(ids, list) else ids
        if isinstance(token_id, int) and 0 <= token_id < len(pieces):
            getattr(writer, f"add_{kind}_token_id")(token_id)
    writer.add_add_bos_token(settings.get("add_bos_token", _begins_with_special(tokenizer)))
    writer.add_add_eos_token(bool(settings.get("add_eos_token", False)))
    template = folder / "chat_template.jinja"
    text = template.read_text(encoding="utf-8") if template.is_file() else settings.get("chat_template")
    if isinstance(text, list):
        text = next((t["template"] for t in text if t.get("name") == "default"), None)
    if text:
        writer.add_chat_template(text)


def _begins_with_special(tokenizer: dict) -> bool:
    """Whether encoding a text puts a special token in front of it."""
    for part in _parts(tokenizer.get("post_processor")):
        if part.get("type") == "TemplateProcessing":
            return bool(part.get("single")) and "SpecialToken" in json.dumps(part["single"][0])
    return False
