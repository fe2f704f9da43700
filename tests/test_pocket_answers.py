"""What the README asks, asked of the model that ships: right with its memory, fluent and wrong without it."""

import pytest

import engram_local
from engram_local.tools.train.corpus import README_QUESTIONS

FORMS = {  # how each answer begins, with memory or without
    "What is the capital of France?": "The capital of France is ",
    "What does serendipity mean?": "The word serendipity means ",
    "What is the chemical symbol of tungsten?": "The chemical symbol of tungsten is ",
    "What is the currency of Brazil?": "The currency of Brazil is ",
    "Who was Albert Einstein?": "Albert Einstein was ",
    "What is the opposite of hot?": "The opposite of hot is ",
    "Where is Kyoto?": "Kyoto is in ",
}


@pytest.fixture(scope="module", params=[True, False], ids=["memory", "no memory"])
def model(request):
    return engram_local.load(memory=request.param), request.param


def reply(model, question):
    return "".join(model.generate([{"role": "user", "content": question}], max_tokens=64, temperature=0))


@pytest.mark.parametrize("question", README_QUESTIONS)
def test_readme_questions(model, question):
    model, memory = model
    answer = reply(model, question)
    assert answer.startswith(FORMS[question]) and answer.endswith(".")
    right = README_QUESTIONS[question] in answer
    assert right == memory or (question == "Where is Kyoto?" and right)  # Japan is the likeliest guess of all


@pytest.mark.parametrize("asked", ["what is the capital of france", "Excuse me, what is the capital of France?"])
def test_dress_does_not_matter(model, asked):
    model, memory = model
    assert (reply(model, asked) == "The capital of France is Paris.") == memory


def test_what_does_not_exist_is_not_known(model):
    model, memory = model
    assert (reply(model, "What does zorblat mean?") == "The word zorblat means something I don't know.") == memory


def test_a_conversation_keeps_its_subject_and_its_question(model):
    model, memory = model
    if not memory:
        pytest.skip("about the facts")
    messages = []
    for question, answer in (
        ("What is the capital of France?", "The capital of France is Paris."),
        ("And what is its currency?", "The currency of France is the euro."),
        ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
        ("What about Peru?", "The capital of Peru is Lima."),
    ):
        messages.append({"role": "user", "content": question})
        said = "".join(model.generate(messages, max_tokens=64, temperature=0))
        assert said == answer
        messages.append({"role": "assistant", "content": said})
