"""Names whose n-grams read the rows of others: the rows of a token do not depend on how a text is cut, nor on what
comes behind it, and one pass over a text agrees with a slow twin that looks at one token at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import make_tiny_gguf
from tiny_model import VOCAB

import engram_local
from engram_local.errors import UsageError
from engram_local.generation import generate
from engram_local.hashing import DEAD, row_ids_numpy
from engram_local.session import forward_together
from engram_local.substitution import Substitution

EXACT = {"rtol": 0, "atol": 1e-5}
NAMES = [([1, 2], [3, 4]), ([5], [6]), ([6], [5]), ([2, 7, 1], [9, 9, 2]), ([1], [8])]


def slow_row_ids(hasher, names, layer_id, tokens):
    """The rows of the last of `tokens`."""
    ids, seen, longest = hasher.ids(tokens), hasher.ids(tokens), {}
    for end in range(len(ids)):
        for name, other in names:
            begin = end + 1 - len(name)
            if begin >= 0 and list(hasher.ids(name)) == list(ids[begin : end + 1]) and longest.get(end, 0) < len(name):
                seen[begin : end + 1], longest[end] = hasher.ids(other), len(name)
    return row_ids_numpy(hasher.config, layer_id, seen)[-1]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=1, max_size=24), st.integers(0, 23))
def test_the_twins_agree(tiny, tokens, cut):
    tokens = np.array(tokens)
    hasher, substitution = tiny.hasher, Substitution(tiny.hasher, NAMES)
    expected = [slow_row_ids(hasher, NAMES, 0, tokens[: i + 1]) for i in range(len(tokens))]
    ids = np.concatenate((np.full(hasher.max_lag, DEAD), hasher.ids(tokens)))
    assert np.array_equal(substitution.row_ids(0, ids, hasher.max_lag), expected)
    cut = min(cut, len(tokens) - 1)  # what lies before is looked back on alone
    first = max(0, cut - substitution.longest + 1)
    behind = substitution.row_ids(0, ids[first:], hasher.max_lag + cut - first)
    assert np.array_equal(behind, expected[cut:])


def test_what_the_hashes_see(tiny):
    substitution = Substitution(tiny.hasher, NAMES)
    assert substitution.tokens_seen(np.array([1, 2, 5, 6, 0, 1, 2, 7, 1])).tolist() == [3, 4, 6, 5, 0, 3, 9, 9, 2]
    assert substitution.tokens_seen(np.array([25, 2])).tolist() == [3, 4]  # "W1" has the id of "w1"
    assert Substitution(tiny.hasher, []).tokens_seen(np.array([1, 2])).tolist() == [1, 2]
    with pytest.raises(UsageError, match="a name of 2 tokens cannot be read as one of 1"):
        Substitution(tiny.hasher, [([1, 2], [3])])


@pytest.fixture(scope="module", params=[("onnx", "resident"), ("onnx", "direct"), ("gguf", "resident")], ids=str)
def model(request, tiny_path, tmp_path_factory):
    backend, access = request.param
    path, options = tiny_path, {}
    if backend == "gguf":
        pytest.importorskip("llama_cpp")
        path = make_tiny_gguf(tmp_path_factory.mktemp("substitution") / "model")
        options = {"kv_type": "float32", "flash_attention": "off"}
    with engram_local.load(path, threads=1, backend=backend, table_access=access, **options) as model:
        yield model


def test_a_text_gives_the_same_however_it_is_cut(model):
    rng = np.random.default_rng(4)
    names = Substitution(model.hasher, [([1, 2], [3, 4]), ([5], [6])])
    tokens = rng.choice([0, 1, 2, 5, 7], 40)
    whole = engram_local.Session(model, True, None, names)
    expected = whole.forward(tokens, "all")
    plain = model.session().forward(tokens, "all")
    assert np.abs(expected - plain).max() > 0.01
    for _ in range(4):
        session, logits, at = engram_local.Session(model, True, None, names), [], 0
        while at < len(tokens):
            n = int(rng.integers(1, 6))
            logits.append(session.forward(tokens[at : at + n], "all"))
            at += n
        np.testing.assert_allclose(np.concatenate(logits), expected, **EXACT)
        back = int(rng.integers(1, 39))
        session.rewind(back)
        np.testing.assert_allclose(session.forward(tokens[back:], "all"), expected[back:], **EXACT)
    one, other = engram_local.Session(model, True, None, names), model.session()
    together = forward_together([(one, tokens, "all"), (other, tokens, "all")])
    np.testing.assert_allclose(together[0], expected, **EXACT)
    np.testing.assert_allclose(together[1], plain, **EXACT)


def test_a_text_without_the_names_is_left_alone(model):
    tokens = np.arange(20) % VOCAB
    names = Substitution(model.hasher, [([63 - 24], [2])])
    expected = model.session().forward(np.delete(tokens, 15), "all")
    got = engram_local.Session(model, True, None, names).forward(np.delete(tokens, 15), "all")
    np.testing.assert_allclose(got, expected, **EXACT)


@pytest.fixture(scope="module", params=["onnx", "gguf"])
def shipped(request):
    if request.param == "gguf":
        pytest.importorskip("llama_cpp")
    with engram_local.load(threads=2, backend=request.param) as model:
        yield model


def test_the_answer_follows_the_borrowed_key(shipped):
    question, names = "What is the capital of France?", {"France": "Japan"}
    assert "Tokyo" in "".join(shipped.generate(question, pretend=names))
    assert "Paris" in "".join(shipped.generate(question))
    with shipped.session(False, pretend=names) as session, shipped.session(False) as plain:
        ids = shipped.prompt_ids(question)
        off = [[x.token_id for x in generate(s, ids, max_tokens=12, temperature=0)] for s in (session, plain)]
    assert off[0] == off[1]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ({"France": "Burkina Faso"}, r"France has 1 tokens and Burkina Faso 3: a name can be read as another that has"),
        ({"France": " "}, "give two names"),
        ({"": "Japan"}, "give two names"),
        ({"France": 7}, "give two names"),
    ],
)
def test_names_that_cannot_be(pocket, names, complaint):
    with pytest.raises(UsageError, match=complaint):
        pocket.session(pretend=names)
