"""Wordings made of one question: many, readable, and never the same in training and test."""

import random

import pytest

from engram_local.tools.teach.wordings import reword

QUESTIONS = (
    "What is the code of the door?",
    "Who designed the Pine pump 300?",
    "When is Ada Gantz on holiday?",
    "keys?",
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_test_wordings_are_never_trained(question):
    rng = random.Random(0)
    seen = {split: {reword(question, split, rng) for _ in range(500)} for split in ("train", "test")}
    assert len(seen["train"]) > 30
    assert not {x.lower() for x in seen["test"]} & {x.lower() for x in seen["train"]}


def test_names_stay_whole():
    rng = random.Random(1)
    for _ in range(300):
        text = reword("Who designed the Pine pump 300?", "train", rng).lower()
        assert "designed the pine pump 300" in text
        assert "the code of the door" in reword("What is the code of the door?", "train", rng).lower()


def test_a_name_at_the_start_keeps_its_capital():
    rng = random.Random(2)
    for _ in range(300):
        text = reword("Ada Gantz has which room?", "train", rng)
        assert "Ada" in text or text == text.lower()
