"""The free questions: how they are read, judged, and kept out of training."""

import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

from engram_local.tools.train import free
from engram_local.tools.train.brakes import BRAKE

QUESTIONS = Path(__file__).with_name("free_questions.tsv")


def asked(right: str, *turns: str) -> free.Free:
    return free.Free("fact", turns, right, "tuning")


def test_three_hundred_in_two_halves():
    found = free.read(QUESTIONS)
    assert len(found) >= 300 and len({q.turns for q in found}) == len(found)
    halves = Counter(q.half for q in found)
    assert abs(halves["tuning"] - halves["reported"]) <= len({q.name for q in found})


def test_no_source_of_the_corpus_names_them():
    """The corpus is made in tools/train; only `free.py` may be given the files."""
    folder = Path(free.__file__).parent
    assert not [p.name for p in folder.glob("*.py") if re.search(r"free_questions|names\.tsv", p.read_text())]


def test_names_that_exist_and_names_that_do_not():
    found = free.read(QUESTIONS.with_name("names.tsv"))
    right = {name: {q.right == "@honest" for q in found if q.name == name} for name in {q.name for q in found}}
    assert right.pop("stored") == {False} and [*right.values()] == [{True}] * len(right) and len(right) == 6
    assert len(found) > 1_000


@pytest.mark.parametrize(
    ("right", "answer", "verdict"),
    [
        ("Oslo", "The capital of Norway is Oslo.", "right"),
        ("Oslo", "The capital of Norway is Rome.", "false"),
        ("Oslo", "The capital of Norway is something I don't know.", "honest"),
        ("Oslo", "The capital of Peru is Rome.", "garbage"),
        ("Oslo", "capital capital capital...", "garbage"),
        ("Oslo", BRAKE, "honest"),
        ("Oslo", "You are welcome!", "talk"),
        ("@honest", BRAKE, "right"),
        ("@honest|Oslo", "The capital of Norway is Oslo.", "right"),
        (".*know.*(name|term)", "The capital of Norway is a name I don't know.", "honest"),
    ],
)
def test_judge(right, answer, verdict):
    assert free.judge(asked(right, "What is the capital of Norway?"), answer) == verdict


def test_messages_are_read_as_the_chat_template_gives_them():
    import jinja2

    from engram_local.tools.train.train import CHAT_TEMPLATE

    template = jinja2.Template(CHAT_TEMPLATE)
    for text in ("  what   is\tthis ", "WHO WAS PLATO?", "USA", "Where is USA?", "404"):
        given = template.render(messages=[{"role": "user", "content": text}], bos_token="<", add_generation_prompt=True)
        assert given == f"<<|user|>{free.as_read(text)}<|bot|>"
    assert free.as_read("WHO  WAS PLATO?") == "who was plato?" and free.as_read(" USA ") == "USA"


def test_a_model_folder_is_asked_as_in_a_chat(pocket):
    questions = [
        asked("Oslo", "What is the capital of Norway?"),
        asked("Rome", "What is the capital of France?", "and Italy?"),
    ]
    found = free.report(questions, lambda memory: free.chat(pocket, questions, memory=memory))
    assert found["memory"] == {"fact": {"tuning": {"right": 1.0}}}
    assert found["off"]["fact"]["tuning"].get("right", 0) < 1 and len(found["answers"]) == 4
