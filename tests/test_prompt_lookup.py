"""Drafts out of the context: with them an answer is what it is without, in fewer steps."""

import numpy as np
import pytest
from tiny_gguf import make_tiny_gguf
from tiny_model import CONTEXT, make_tiny_model

import engram_local
from engram_local.generation import generate
from engram_local.prompt_lookup import MOST_SKIPPED, PromptLookup

REPEATS = [5, 6, 7, 8, 9, 5, 6, 7]
LOOPS = {"repetition_penalty": 0.3}  # below 1 a random model says the same again


def test_drafts_are_what_followed_the_longest_ngram():
    drafts = PromptLookup(8)
    drafts.extend([1, 2, 3, 4, 5, 6, 9, 2, 3, 4, 7, 7, 1, 2, 3, 4])
    assert drafts.draft(8) == [5, 6]  # 1 2 3 4 stood in front of it; 2 3 4 alone was followed by 7 last
    assert drafts.draft(1) == [5] and drafts.draft(0) == []
    drafts.extend([8])
    assert drafts.draft(8) == []


def test_drafts_grow_while_they_are_right_and_pause_when_they_are_wrong():
    drafts = PromptLookup(6)
    drafts.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3])
    lengths = []
    for right in (2, 4, 6, 6, 1):
        lengths.append(len(drafts.draft(9)))
        drafts.learn(lengths[-1], min(right, lengths[-1]))
    assert lengths == [2, 4, 6, 6, 6] and len(drafts.draft(9)) == 1
    for skipped in (1, 2, 4, 8, 16, MOST_SKIPPED, MOST_SKIPPED):
        drafts.learn(1, 0)
        assert [drafts.draft(9) for _ in range(skipped)] == [[]] * skipped
        assert drafts.draft(9)


@pytest.fixture(scope="module", params=["onnx", "gguf"])
def model(request, tmp_path_factory):
    make = make_tiny_model if request.param == "onnx" else make_tiny_gguf
    options = {}
    if request.param == "gguf":
        pytest.importorskip("llama_cpp")
        options["kv_type"] = "float32"
    with engram_local.load(make(tmp_path_factory.mktemp("m") / "model"), threads=1, **options) as loaded:
        yield loaded


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("access", ["auto", "direct"])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.3, "seed": 4}, LOOPS])
def test_the_answer_is_the_same(model, memory, access, sampling):
    model.tables.reopen(access)
    options = {"max_tokens": 40, "ignore_eos": True, **sampling}
    plain = list(generate(model.session(memory), REPEATS, **options))
    session = model.session(memory)
    drafted = list(generate(session, REPEATS, **options, lookup=True))
    assert [x.token_id for x in drafted] == [x.token_id for x in plain]
    assert [x.text for x in drafted] == [x.text for x in plain]
    assert [x.finish_reason for x in drafted] == [x.finish_reason for x in plain]
    assert session.length == len(REPEATS) + 39  # as without: the last token has not been computed


def test_what_repeats_takes_fewer_steps(model):
    steps = list(generate(model.session(), REPEATS, max_tokens=60, ignore_eos=True, lookup=True, **LOOPS))
    assert steps[-1].n_drafted > 20
    assert [x.n_drafted for x in steps] == sorted(x.n_drafted for x in steps)
    assert {x.n_drafted for x in generate(model.session(), REPEATS, max_tokens=60, ignore_eos=True, **LOOPS)} == {0}


@pytest.mark.parametrize("n", [1, 2, 3, 11])
def test_a_limit_ends_it_in_the_middle_of_a_draft(model, n):
    prompt = REPEATS * 8
    plain = [x.token_id for x in generate(model.session(), prompt, max_tokens=n, ignore_eos=True)]
    session = model.session()
    assert [x.token_id for x in generate(session, prompt, max_tokens=n, ignore_eos=True, lookup=True)] == plain
    # the session goes on as if nothing had been drafted
    more = [x.token_id for x in generate(session, prompt + plain, max_tokens=5, ignore_eos=True, lookup=True)]
    assert more == [x.token_id for x in generate(model.session(), prompt + plain, max_tokens=5, ignore_eos=True)]


def test_to_the_end_of_the_context(model):
    n = min(model.context_length, CONTEXT)
    prompt = (REPEATS * n)[: n - 12]
    with_drafts, plain = (
        [x.token_id for x in generate(model.session(), prompt, max_tokens=12, ignore_eos=True, lookup=x)]
        for x in (1, 0)
    )
    assert with_drafts == plain and len(plain) == 12


def test_a_reader_that_leaves_in_the_middle(model):
    session = model.session()
    steps = generate(session, REPEATS * 4, max_tokens=50, ignore_eos=True, lookup=True)
    tokens = [next(steps).token_id for _ in range(17)]
    steps.close()
    logits = session.forward([3], "last") if session.keep_prefix([*REPEATS * 4, *tokens[:5]]) else None
    fresh = model.session().forward([*REPEATS * 4, *tokens[:5], 3])
    np.testing.assert_allclose(logits, fresh, atol=1e-4)
