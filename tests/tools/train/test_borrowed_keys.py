"""The experiment that lets a country's n-grams read the rows of another, on three countries."""

import pytest

from engram_local.tools.train.borrowed_keys import QUESTIONS, VERDICTS, judge, measure, pairs, table


def test_pairs_are_of_one_length_and_article():
    n_tokens = {"A": 1, "B": 1, "C": 1, "the D": 1, "the E": 1, "F": 2, "G G": 2, "alone": 3}
    chosen = list(pairs(list(n_tokens), n_tokens))
    assert sorted(x for x, _ in chosen) == sorted(set(n_tokens) - {"alone"}) == sorted(x for _, x in chosen)
    for name, other in chosen:
        assert name != other and n_tokens[name] == n_tokens[other]
        assert name.startswith("the ") == other.startswith("the ")
    assert chosen == list(pairs(list(n_tokens), n_tokens))


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("The area of France is 2.", "follows"),
        ("The area of France is 1.", "keeps"),
        ("The area of Japan is 2.", "names the other"),
        ("The area of France is 3.", "something else"),
    ],
)
def test_verdicts(said, verdict):
    assert judge("France", "Japan", "The area of France is 1.", "The area of Japan is 2.", said) == verdict
    assert judge("France", "Japan", "The area of France is 2.", "The area of Japan is 2.", said) is None


def test_the_shipped_model_follows(pocket):
    found = measure(pocket, ["France", "Japan", "Germany"], ["capital", "population"])
    assert set(found) == {"capital", "population"} <= set(QUESTIONS)
    for counts in found.values():
        assert counts["all"].total() == 3 and counts["one token"] == counts["all"]
    assert found["capital"]["all"]["follows"] >= 2 and found["capital"]["all"]["keeps"] == 0
    lines = table(found).splitlines()
    assert len(lines) == 4 and all(x.count("|") == len(VERDICTS) + 4 for x in lines)
