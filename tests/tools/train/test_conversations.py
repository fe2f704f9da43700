"""Brakes, false premises, follow-ups and compound questions say what they should."""

import random

import small_corpus

from engram_local.tools.train import compound, grammar, unknown
from engram_local.tools.train.brakes import BRAKE, Brakes
from engram_local.tools.train.conversations import LONGEST, Conversations
from engram_local.tools.train.facts import Fact

PEOPLE = unknown.People.of(["Ann Smith", "Bob van Dam", "Ada"])
KNOWN = small_corpus.known()
FRANCE = next(f for f in KNOWN if f.kind == "capital" and f.subject == "France")


def test_brakes_fill_every_mark():
    rng, brakes = random.Random(0), Brakes(KNOWN, ["The rain fell on the old house."])
    messages = [brakes.message(rng) for _ in range(3_000)]
    assert not [m for m in messages if "{" in m or " | " in m]
    assert len(set(messages)) > 1_500 and any("rain fell" in m for m in messages)


def test_false_premises_are_no_facts():
    rng, brakes = random.Random(0), Brakes(KNOWN, [])
    facts = {(f.kind, f.subject.lower()) for f in KNOWN}
    drawn = [f for f in (brakes.false_premise("train", rng) for _ in range(2_000)) if f]
    assert len(drawn) > 100
    assert all("I don't know" in f.answer and (f.kind, f.subject.lower()) not in facts for f in drawn)


def test_a_value_to_confirm_is_answered_by_the_right_one():
    rng, kin = random.Random(0), [f for f in KNOWN if f.kind == "capital"]
    for right in (True, False):
        for _ in range(100):
            question, answer = compound.yes_no(FRANCE, kin, rng, right=right)
            assert answer == FRANCE.answer
            assert ("paris" in question.lower()) == right
    assert len({"paris" in compound.yes_no(FRANCE, kin, rng)[0].lower() for _ in range(50)}) == 2


def test_a_part_of_a_list_is_right():
    fact = Fact("neighbours", "Peru", "Chile and Brazil", ("Peru",), 1)
    kin = [fact, Fact("neighbours", "Spain", "France, Brazil and Portugal", ("Spain",), 1)]
    rng = random.Random(0)
    for _ in range(50):
        question, answer = compound.yes_no(fact, kin, rng, right=False)
        assert answer == fact.answer
        assert any(name in question.lower() for name in ("france", "portugal"))


def test_combined_names_are_new():
    taken = {"mount paris"}
    found = unknown.invented(400, taken, ["hot", "cold"], ["paris", "rome"], PEOPLE, random.Random(0))
    names = [f.subject for f in found]
    assert len({n.lower() for n in names}) == 400 and "Mount Paris" not in names
    mixed = {f"{first} {last}" for first in PEOPLE.first for last in PEOPLE.last}
    assert {n for n in names if n in mixed} and not {n for n in names if n.endswith("Ada")}
    assert any(n.endswith("Paris") and " " in n for n in names)


def test_spelt_words_have_the_letters_of_known_ones():
    words = ["banana", "bandana", "canal", "manana"]
    letters, rng = unknown.Letters(words), random.Random(0)
    made = {letters.word(rng) for _ in range(200)}
    known = {text[i : i + 4] for w in words for text in [f"^^^{w}$"] for i in range(len(text) - 3)}
    assert len(made - set(words)) > 3
    for word in made:
        text = f"^^^{word}$"
        assert {text[i : i + 4] for i in range(len(text) - 4)} <= known
    found = unknown.invented(50, {"banana"}, words, ["paris"], PEOPLE, random.Random(0), spelt=1.0)
    assert "banana" not in {f.subject for f in found}


def test_two_parts_are_two_answers():
    other = Fact("currency", "France", "the euro", ("France",), 1)
    question, answer = compound.two_parts(FRANCE, other, random.Random(0))
    assert answer == "The capital of France is Paris. The currency of France is the euro."
    assert "capital" in question.lower() and "currency" in question.lower()


def test_follow_ups_are_about_the_topic():
    rng, talk = random.Random(0), Conversations(KNOWN, "all")
    seen = set()
    for _ in range(400):
        turns = [("What is the capital of France?", FRANCE.answer)]
        found = talk.follow(FRANCE, turns, rng)
        if found:
            (question, answer), topic = found
            assert "{" not in question and (topic.kind == "capital" or topic.subject == "France")
            seen.add("sure" if answer.startswith("Yes. ") else topic.kind)
    assert seen >= {"sure", "capital", "population"}


def test_conversations_have_an_end():
    rng, talk = random.Random(0), Conversations(KNOWN, "train")
    fresh = list(KNOWN)
    for _ in range(50):
        turns = [talk.first(FRANCE, rng)]
        talk.goes_on(turns, FRANCE, fresh, rng)
        assert 1 <= len(turns) <= LONGEST and all(q and a for q, a in turns)


def test_typing_errors_leave_the_subject_alone():
    rng = random.Random(0)
    frames = {grammar.typo("What is the capital of {s}?", rng) for _ in range(100)}
    assert len(frames) > 30 and all("{s}?" in f for f in frames)


def test_the_brake_is_one_sentence():
    assert BRAKE.count(".") == 1 and "I can't help" in BRAKE
