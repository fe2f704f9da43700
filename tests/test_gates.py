"""What a text's tokens looked up and how far the gates opened for it."""

import numpy as np

from engram_local.gates import read_gates

ANSWER = "The capital of France is"


def test_one_entry_a_token_as_the_session_gives_them(pocket):
    tokens = pocket.tokenizer.encode(ANSWER)
    with pocket.session() as session, pocket.session() as again:
        found = read_gates(session, tokens)
        again.forward(tokens, gates=True)
    assert [x.token_id for x in found] == tokens and "".join(x.text for x in found) == ANSWER
    for layer_id, gates in again.gates.items():
        np.testing.assert_allclose([x.gates[layer_id] for x in found], gates.max(1), atol=1e-6)
    longest = pocket.hasher.max_lag + 1
    assert found[0].ngram == "The" and found[-1].ngram == ANSWER[ANSWER.index("The") :]
    assert [len(pocket.tokenizer.encode(x.ngram)) for x in found] == [min(i + 1, longest) for i in range(len(tokens))]


def test_ngrams_are_those_behind_the_context_and_as_they_are_read(pocket):
    with pocket.session(pretend={"France": "Japan"}) as session:
        session.forward(pocket.prompt_ids("What is the capital of France?"))
        found = read_gates(session, pocket.tokenizer.encode(ANSWER))
    assert found[0].ngram == " of Japan?<|bot|>The"
    assert found[-2].text == " France" and found[-2].ngram.endswith("The capital of Japan")


def test_a_name_counts_from_its_last_token_on(pocket):
    with pocket.session(pretend={"Sri Lanka": "United States"}) as session:
        found = read_gates(session, pocket.tokenizer.encode("of Sri Lanka is"))
    assert [x.ngram for x in found[-3:]] == ["of Sri", "of United States", "of United States is"]


def test_without_memory_there_are_none(pocket):
    with pocket.session(False) as session:
        assert read_gates(session, [5, 6, 7]) == [] and session.length == 3


def test_any_model_has_them(tiny):
    with tiny.session() as session:
        found = read_gates(session, [1, 25, 2])
    assert [x.ngram for x in found] == ["w1", "w1 W1", "w1 W1 w2"] and all(0 < x.gates[0] < 1 for x in found)
