import numpy as np
import pytest
import tokenizers

from engram_local.errors import ModelFolderError
from engram_local.model_folder import read_token_map
from engram_local.token_compression import compression_map


def word_level(*words):
    return tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "A", " a", "a ", "b"], [0, 0, 0, 0, 1]),
        (["é", "e", "e\u0301", "E", "\uff25"], [0, 0, 0, 0, 0]),  # composed, plain, combining, full-width
        (["ﬁ", "fi", "x"], [0, 0, 1]),
        ([" ", "  ", "\n", "\t \r", "a"], [0, 0, 0, 0, 1]),
        (["a  b", "a\nb", "ab"], [0, 0, 1]),
        (["\u0301", "\u0300", "a"], [0, 1, 2]),  # nothing is left of an accent alone: it stays as it was
        (["b", "a", "B"], [0, 1, 0]),
        (["1", "①", "²", "2"], [0, 0, 1, 1]),
    ],
)
def test_which_tokens_count_as_one(words, expected):
    assert compression_map(word_level(*words)).tolist() == expected


def test_half_characters_are_told_apart_by_their_token():
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    compressed = compression_map(tokenizer)
    halves = [i for i in range(256) if "\ufffd" in tokenizer.decode([i])]
    assert len(halves) == 128
    assert len(set(compressed[halves].tolist())) == 128
    assert compressed[tokenizer.token_to_id("A")] == compressed[tokenizer.token_to_id("a")]


def test_added_tokens_are_counted_where_wanted():
    tokenizer = word_level("a", "b")
    tokenizer.add_special_tokens(["<end>"])
    assert compression_map(tokenizer).tolist() == [0, 1, 2]
    assert compression_map(tokenizer, 2).tolist() == [0, 1]


def test_the_shipped_map_follows_from_the_shipped_tokenizer(pocket):
    path = pocket.folder.path
    derived = compression_map(path / "tokenizer.json")
    assert derived.dtype == np.int32
    assert np.array_equal(read_token_map(path / "token_map.safetensors")[: len(derived)], derived)


def test_what_is_no_tokenizer_is_one_error(tmp_path):
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(ModelFolderError, match=r"tokenizer\.json: not a tokenizer"):
        compression_map(tmp_path / "tokenizer.json")
