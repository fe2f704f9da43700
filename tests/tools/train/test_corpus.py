"""The corpus: the same every time, honest about its splits, and it holds what the README asks."""

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_corpus
from tokenizers import Tokenizer

from engram_local.tools.train import corpus, facts, grammar, sources
from engram_local.tools.train.corpus import (
    ASKED,
    BOS,
    BOT,
    DECISIVE,
    END,
    LOSS,
    MADE_UP,
    MEMORY_OFF,
    REHASHED,
    STILL,
    USER,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_corpus.make(tmp_path_factory.mktemp("corpus"))


def documents(folder):
    with np.load(folder / "corpus.npz") as data:
        tokens, flags, starts = data["tokens"], data["flags"], data["starts"]
    return [(tokens[a:b], flags[a:b]) for a, b in itertools.pairwise(starts)]


def test_two_builds_are_equal(folder, tmp_path):
    again = small_corpus.make(tmp_path / "again")
    names = sorted(x.name for x in folder.iterdir())
    assert names == ["corpus.npz", "questions.json", "sizes.json", "tokenizer.json", "values.json"]
    with np.load(folder / "corpus.npz") as one, np.load(again / "corpus.npz") as other:
        for name in ("tokens", "flags", "starts"):
            np.testing.assert_array_equal(one[name], other[name])
    for name in names[1:]:
        assert (folder / name).read_bytes() == (again / name).read_bytes()


def test_another_seed_is_another_corpus(folder, tmp_path):
    other = small_corpus.make(tmp_path / "other", seed=1)
    assert (folder / "questions.json").read_bytes() != (other / "questions.json").read_bytes()


def test_documents_have_the_form_that_chat_has(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for tokens, flags in documents(folder):
        assert len(tokens) <= corpus.LONGEST_DOCUMENT and tokens[0] == BOS and tokens[-1] == END
        assert flags[0] in (0, MEMORY_OFF, STILL)
        asked, learnt = flags & ASKED > 0, flags & LOSS > 0
        assert not (asked & learnt).any() and (asked | learnt)[1:].all()
        assert asked[(tokens == USER) | (tokens == BOT)].all()
    texts = [tokenizer.decode(t.tolist(), skip_special_tokens=False) for t, _ in documents(folder)]
    assert sum("<|bot|>The capital of France is Paris.<|end|>" in text for text in texts) >= 6


def test_only_documents_without_memory_make_things_up(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    values = {f.value for f in small_corpus.known()}
    n_made_up = 0
    for tokens, flags in documents(folder):
        made_up = flags & MADE_UP > 0
        off = flags & MEMORY_OFF > 0
        assert off.all() or not off.any()
        if made_up.any():
            assert off.all() and tokenizer.decode(tokens[made_up].tolist()).strip() in values
            n_made_up += 1
    assert n_made_up >= 5 * small_corpus.SIZE.n_form * 0.6


def test_no_held_out_question_is_trained(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    trained = set()
    for tokens, _ in documents(folder):
        for turn in tokenizer.decode(tokens.tolist(), skip_special_tokens=False).split("<|user|>")[1:]:
            trained.add(turn.split("<|bot|>")[0].lower().rstrip("?."))
    sets = json.loads((folder / "questions.json").read_text())
    held = [i for name in ("validation", "test", "unknown_validation", "unknown_test") for i in sets[name]]
    assert len(held) > 500
    assert [i["q"] for i in held if i["q"].lower().rstrip("?.") in trained] == []
    assert not {i["subject"] for i in sets["unknown_test"]} & {i["subject"] for i in sets["unknown_validation"]}


def test_rehashed_names_are_not_known(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    strange = [(t, f) for t, f in documents(folder) if (f & REHASHED & ((f & ASKED) << 3)).any()]
    assert len(strange) > 20
    known = {f.subject for f in small_corpus.known()} | {w for f in small_corpus.known() for w in f.subject.split()}
    for tokens, flags in strange:
        marked = flags & REHASHED > 0
        assert (marked & (flags & ASKED > 0)).any() and (marked & (flags & LOSS > 0)).any()
        text = tokenizer.decode(tokens.tolist(), skip_special_tokens=False)
        name = tokenizer.decode(tokens[marked & (flags & LOSS > 0)].tolist()).strip()
        assert "I don't know.<|end|>" in text
        assert name in known


def test_no_row_learns_from_documents_about_what_is_not_known(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    n_still, n_rehashed = 0, 0
    for tokens, flags in documents(folder):
        still = flags & STILL > 0
        assert still.all() or not still.any()
        assert still.all() or not (flags & REHASHED).any()
        last = tokenizer.decode(tokens.tolist(), skip_special_tokens=False).rpartition("<|bot|>")[2]
        assert "I don't know" in last or not still.any()
        n_still, n_rehashed = n_still + bool(still.any()), n_rehashed + bool((flags & REHASHED).any())
    assert n_still == small_corpus.SIZE.n_invented + n_rehashed and n_rehashed > 20


def test_a_corpus_for_more_steps_has_the_tokenizer_and_new_names(folder, tmp_path):
    size = replace(small_corpus.SIZE, spelt=0.5)
    more = small_corpus.make(tmp_path, 1, size, Tokenizer.from_file(str(folder / "tokenizer.json")))
    assert (more / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    tokenizer = Tokenizer.from_file(str(more / "tokenizer.json"))
    known = {f.subject for f in small_corpus.known()}

    def unknown_to(corpus_folder):
        texts = (tokenizer.decode(t.tolist(), skip_special_tokens=False) for t, _ in documents(corpus_folder))
        return {s for text in texts for s in re.findall(r"The word (\w+) means something I don't know\.", text)} - known

    assert len(unknown_to(more)) > 10 and len(unknown_to(more) & unknown_to(folder)) < 3


def test_what_is_not_known_is_marked_where_it_is_decided(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    n_marked = 0
    for tokens, flags in documents(folder):
        text = tokenizer.decode(tokens.tolist(), skip_special_tokens=False)
        n_unknown = len(re.findall(r"(something|place|someone|year) I don't know\.<\|end\|>", text))
        assert int((flags & DECISIVE > 0).sum()) == n_unknown
        n_marked += n_unknown
    assert n_marked > small_corpus.SIZE.n_invented


def test_the_shipped_model_learns_every_wording(tmp_path):
    kinds = {f.kind for f in small_corpus.known()}
    for kind in kinds:
        everything = {f for family in grammar.frames(kind, "all") for f in family}
        assert all({f for family in grammar.frames(kind, s) for f in family} < everything for s in grammar.SPLITS)


def test_the_same_facts_are_asked_in_every_wording(folder):
    sets = json.loads((folder / "questions.json").read_text())
    answers = [[(i["kind"], i["a"]) for i in sets[name]] for name in ("trained", "validation", "test")]
    assert answers[0] == answers[1] == answers[2]
    assert len(sets["plain_test"]) == len(sets["lower_test"]) == len(sets["polite_test"]) == len(sets["no_mark_test"])


def fetched():
    for folder in (ROOT / "build/train/sources", ROOT / "build/sources"):
        if all((folder / s.name / s.proof).exists() for s in sources.SOURCES):
            return {s.name: folder / s.name for s in sources.SOURCES}
    pytest.skip("the source packages are not fetched (make train-pocket fetches them)")


def test_facts_of_the_real_sources():
    pytest.importorskip("msgpack")
    known = facts.load(
        fetched(), n_definitions=corpus.Size.n_definitions, n_cities=corpus.Size.n_cities, n_names=10_000
    )
    assert len(known) >= 140_000
    assert set(Counter(f.kind for f in known)) == set(facts.KINDS)
    answers = {}
    for fact in known:
        answers.setdefault(fact.subject, []).append(fact.answer)
    for subject, part in (
        ("France", "Paris"), ("serendipity", "good luck in making"), ("tungsten", " W."), ("Brazil", "Brazilian real"),
        ("Albert Einstein", "physicist"), ("hot", "is cold"), ("Kyoto", "in Japan"), ("the Nile", "river"),
        ("Napoleon", "1769"), ("Lincoln", "16th President"), ("the Sun", "star"), ("Texas", "Austin"),
        ("iron", "1,538 degrees"), ("Japan", "country"), ("Barack Obama", "44th President"), (".se", "Sweden"),
    ):  # fmt: skip
        assert any(part in answer for answer in answers[subject]), subject
    assert not [f for f in known if "means to to " in f.answer]


def test_readme_asks_only_what_the_corpus_holds():
    own = (ROOT / "README.md").read_text().split("\n## Facts for a model")[0]  # what follows is of other models
    asked = set(re.findall(r"(?:What|Who|Where|When|Which|How) [^?\\\n]*\?", own))
    assert "What is the capital of France?" in asked
    assert asked <= set(corpus.README_QUESTIONS)


def test_a_package_that_cannot_be_had_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    missing = sources.Source("no-such-package-of-facts", "1.0", "pypi", "x", "none")
    monkeypatch.setattr(sources, "SOURCES", (missing,))
    with pytest.raises(sources.SourceError, match=r"no-such-package-of-facts 1\.0 could not be fetched"):
        sources.fetch(tmp_path)
