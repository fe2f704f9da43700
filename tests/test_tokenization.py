import json
import shutil

import pytest
import tokenizers

from engram_local.chat_template import ChatTemplate
from engram_local.errors import ModelFolderError
from engram_local.model_folder import POCKET
from engram_local.tokenization import Detokenizer, Tokenizer

HARD = "héllo wörld, 12345 — “quotes” 日本語 😀👩‍👩‍👧‍👦 ﬁ\n\tend  "
USER = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def byte_level():
    """A tokenizer that knows single bytes alone: every character beyond ASCII is split."""
    return _tokenizer(
        tokenizers.models.BPE({c: i for i, c in enumerate(sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()))}, []),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        tokenizers.decoders.ByteLevel(),
    )


@pytest.fixture(scope="module")
def byte_fallback():
    """SentencePiece's way: words begin with U+2581, unknown characters fall back to <0xHH> tokens."""
    words = ["<unk>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "▁a", "a", "b"]
    model = tokenizers.models.BPE(
        {w: i for i, w in enumerate(words)}, [("▁", "a")], unk_token="<unk>", byte_fallback=True
    )
    decoders = tokenizers.decoders
    return _tokenizer(
        model,
        tokenizers.pre_tokenizers.Metaspace(),
        decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        ),
    )


def _tokenizer(model, pre_tokenizer, decoder):
    tokenizer = Tokenizer.__new__(Tokenizer)
    tokenizer.core = tokenizers.Tokenizer(model)
    tokenizer.core.pre_tokenizer, tokenizer.core.decoder = pre_tokenizer, decoder
    return tokenizer


def stream(tokenizer, ids):
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.step(i) for i in ids]
    return pieces, detokenizer.flush()


def test_text_comes_back(pocket):
    assert pocket.tokenizer.decode(pocket.tokenizer.encode("The capital of France")) == "The capital of France"


@pytest.mark.parametrize("text", [HARD, "a b a", "", "a 😀 b", "👩‍👩‍👧‍👦" * 20])
def test_streamed_text_is_the_whole_text(pocket, byte_level, byte_fallback, text):
    for tokenizer in (pocket.tokenizer, byte_level, byte_fallback):
        ids = tokenizer.encode(text)
        pieces, rest = stream(tokenizer, ids)
        assert "".join(pieces) + rest == tokenizer.decode(ids)
        assert not any("\ufffd" in piece for piece in pieces)
        assert rest == ""


def test_half_a_character_is_held_back(byte_level):
    ids = byte_level.encode("a€b")
    assert stream(byte_level, ids)[0] == ["a", "", "", "€", "b"]
    assert stream(byte_level, ids[:3]) == (["a", "", ""], "\ufffd")


def test_bytes_that_are_no_text_do_not_hold_back_what_follows(byte_level):
    broken, whole = byte_level.encode("é")[:1], byte_level.encode("abc")
    pieces, rest = stream(byte_level, broken * 3 + whole)
    assert "".join(pieces) + rest == "\ufffd\ufffd\ufffdabc"


def test_a_step_does_not_grow_dearer(byte_level):
    detokenizer = Detokenizer(byte_level)
    for token in byte_level.encode("abc €" * 200):
        detokenizer.step(token)
        assert len(detokenizer.window) <= 8


def test_a_conversation_is_encoded_up_to_the_answer(pocket):
    tokenizer = pocket.tokenizer
    text = tokenizer.template.render(USER)
    assert tokenizer.encode_chat(USER) == tokenizer.encode(text, add_special_tokens=False)
    assert len(text) > len(tokenizer.template.render(USER, add_generation_prompt=False))
    assert tokenizer.decode(tokenizer.encode_chat(USER), skip_special_tokens=False) == text
    assert tokenizer.decode(tokenizer.encode_chat(USER)) == "Hi"


def test_templates_render_as_hugging_face_renders_them():
    """trim_blocks, lstrip_blocks, tojson without HTML escapes, loop controls, generation marks, special tokens."""
    source = (
        "{{ bos_token }}\n"
        "  {% for m in messages %}\n"
        "    {%- if loop.index > 2 %}{% break %}{% endif %}\n"
        "<{{ m.role }}>{% generation %}{{ m.content | tojson }}{% endgeneration %}\n"
        "  {% endfor %}\n"
        "{% if tools is none and add_generation_prompt %}>{{ style }}{% endif %}"
    )
    template = ChatTemplate(source, {"bos_token": "<s>"})
    messages = [{"role": "user", "content": "<é'>"}, {"role": "x", "content": "b"}, {"role": "y", "content": "c"}]
    # transformers.utils.chat_template_utils.render_jinja_template (5.23) gives the same
    assert template.render(messages, style="plain") == '<s>\n<user>"<é\'>"<x>"b">plain'


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('id') }}",
        "{{ lipsum.__globals__ }}{{ self.__init__.__globals__ }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ raise_exception('Roles must alternate') }}",
        "{{ messages[9].content.missing }}",
        "{{ 1 // 0 }}",
        "{% include '/etc/passwd' %}",
        "{{ undefined_function() }}",
        "{% for %}",
    ],
)
def test_hostile_and_broken_templates_are_one_error(source):
    with pytest.raises(ModelFolderError, match="the chat template failed") as caught:
        ChatTemplate(source, {}).render(USER)
    assert "\n" not in str(caught.value)


def test_the_templates_own_complaint_is_shown():
    with pytest.raises(ModelFolderError, match="Roles must alternate"):
        ChatTemplate("{{ raise_exception('Roles must alternate') }}", {}).render(USER)


@pytest.fixture
def folder(tmp_path):
    shutil.copy(POCKET / "tokenizer.json", tmp_path)
    return tmp_path


def test_templates_of_tokenizer_config(folder):
    settings = {"bos_token": {"content": "<s>"}, "chat_template": "{{ bos_token }}x"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Tokenizer(folder).template.render(USER) == "<s>x"
    settings["chat_template"] = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Tokenizer(folder).template.render(USER) == "d"
    (folder / "chat_template.jinja").write_text("file")
    assert Tokenizer(folder).template.render(USER) == "file"


def test_no_template_is_one_error(folder):
    with pytest.raises(ModelFolderError, match="has no chat template"):
        Tokenizer(folder).encode_chat(USER)


def test_bad_files_are_one_error(tmp_path):
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json: no such file"):
        Tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer(tmp_path)


def test_lone_surrogates_become_replacement_characters(pocket):
    assert pocket.tokenizer.decode(pocket.tokenizer.encode("a\udc80b")) == "a\ufffdb"
    assert pocket.tokenizer.encode("a😀") == pocket.tokenizer.encode("a\ud83d\ude00")


@pytest.mark.parametrize("broken", [b"\xff", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3"])
def test_bytes_that_never_become_text_do_not_stall_the_stream(byte_level, byte_fallback, broken):
    """More than an unfinished character can have never waits, and no step looks at more than a few tokens."""
    for tokenizer, ids in (
        (byte_level, [byte_level.core.token_to_id(c) for c in _byte_level_spelling(broken * 50)]),
        (byte_fallback, [byte_fallback.core.token_to_id(f"<0x{b:02X}>") for b in broken * 50]),
    ):
        detokenizer = Detokenizer(tokenizer)
        for n, token in enumerate(ids):
            detokenizer.step(token)
            assert len(detokenizer.window) <= 20, n
        whole = tokenizer.encode("é")
        assert "".join(detokenizer.step(i) for i in whole).endswith("é")


def test_a_character_behind_broken_bytes_comes_whole(byte_fallback):
    ids = [byte_fallback.core.token_to_id(f"<0x{b:02X}>") for b in b"\xff" * 5 + "😀".encode()]
    pieces, rest = stream(byte_fallback, ids)
    assert "".join(pieces) + rest == "\ufffd" * 5 + "😀"


def _byte_level_spelling(data: bytes) -> str:
    """GPT-2's characters for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    names = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return "".join(names[b] for b in data)
