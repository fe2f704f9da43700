"""Wordings: three splits that share none, not even nearly; frames that say what they should."""

import itertools
import random
import re

import pytest

from engram_local.tools.train import facts, grammar

KINDS = sorted(facts.KINDS)


def frames_of(kind, split):
    return [frame for family in grammar.split_frames()[kind][split] for frame in family]


def test_every_kind_has_wordings():
    assert sorted(grammar.split_frames()) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_splits_are_disjoint_and_not_near(kind):
    for a, b in itertools.combinations(grammar.SPLITS, 2):
        for one, other in itertools.product(frames_of(kind, a), frames_of(kind, b)):
            assert not grammar.near(grammar.core(one), grammar.core(other)), (one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_eight_varied_training_wordings_with_the_subject_early_late_and_between(kind):
    frames = frames_of(kind, "train")
    assert len(grammar.split_frames()[kind]["train"]) >= 8
    assert any(re.match(r"(HTTP )?\{s\}", frame) for frame in frames)
    assert any(re.search(r"\{s\}[?.]?$", frame) for frame in frames)
    assert any(re.search(r"\w.*\{s\}[^?.]*\w", frame) for frame in frames)
    assert all("{s}" in frame and not set("()/|") & set(frame) for frame in frames)


def test_held_out_carriers_openers_and_endings():
    for parts in (grammar.CARRIERS, grammar.CLAUSE_CARRIERS, grammar.OPENERS, grammar.ENDINGS, grammar.FOLLOW_UPS):
        for a, b in itertools.combinations(grammar.SPLITS, 2):
            assert not {x.lower() for x in parts[a]} & {x.lower() for x in parts[b]}


def test_disturbed_training_frames_stay_away_from_held_out_ones():
    rng = random.Random(0)
    held = [grammar.core(f) for split in ("validation", "test") for f in frames_of("capital", split)]
    disturbed = 0
    for frame in frames_of("capital", "train") * 5:
        text = grammar._disturb(frame, "capital", rng)
        disturbed += text != frame
        assert "{s}" in text
        assert not any(grammar.near(grammar.core(text), core) for core in held), text
    assert disturbed > 100


def test_near():
    core = grammar.core
    assert grammar.near(core("What is the capital of {s}?"), core("the capital city of {s}"))
    assert grammar.near(core("Where is {s}?"), core("Where lies {s}"))
    assert not grammar.near(core("Where is {s}?"), core("Where does {s} lie?"))


def test_expand():
    assert set(grammar.expand("(Say/Tell me) what (the (big/) word/) {s} is.")) == {
        "Say what the big word {s} is.",
        "Say what the word {s} is.",
        "Say what {s} is.",
        "Tell me what the big word {s} is.",
        "Tell me what the word {s} is.",
        "Tell me what {s} is.",
    }


def test_same_generator_same_question():
    asked = [grammar.question("capital", "France", "train", random.Random(seed)) for seed in range(50)]
    assert asked == [grammar.question("capital", "France", "train", random.Random(seed)) for seed in range(50)]
    assert len(set(asked)) > 40 and all("france" in q.lower() for q in asked)


def test_ways_differ_only_in_dress():
    ways = grammar.ways("capital", "France", "test", random.Random(1))
    plain = ways["plain"]
    assert ways["lower"] == plain.lower() and ways["no_mark"] == plain.rstrip("?.")
    assert ways["polite"].lower().endswith(plain.lower()) and ways["polite"] != plain
