"""The showpiece's steps on a tiny GGUF in place of the registry's: prepare, train, attach, pack."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from parity.tiny_bases import make_base

import engram_local
from engram_local.errors import EngramError
from engram_local.tools.export.gguf import write_backbone_gguf
from engram_local.tools.teach import base as bases
from engram_local.tools.teach import example, facts, pocket_facts, smol
from engram_local.tools.teach.facts import Lessons
from engram_local.tools.train import facts as pocket

pytest.importorskip("accelerate")
pytest.importorskip("llama_cpp")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("gguf")
    make_base("llama", folder / "base")
    write_backbone_gguf(folder / "base", folder / "tiny.gguf")
    return folder / "tiny.gguf"


def test_a_gguf_becomes_the_same_model(gguf, tmp_path):
    bases.unpack_gguf(gguf, tmp_path / "base")
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        made, given = (bases.load(x, "cpu")(input_ids=ids).logits for x in (tmp_path / "base", gguf.parent / "base"))
    torch.testing.assert_close(made, given, atol=1e-3, rtol=1e-3)
    with pytest.raises(EngramError, match=r"nothing\.gguf: no such file"):
        bases.unpack_gguf(tmp_path / "nothing.gguf", tmp_path / "other")


def test_every_step_is_made_once(gguf, tmp_path, monkeypatch, capsys):
    known = [facts.Fact((x["question"],), x["answer"]) for x in example.facts(5)]
    lessons = Lessons(
        list(facts.items(known, 2)),
        facts.questions(known, 5),
        5,
        {"text": ["A text to keep as it is."]},
        ["Silence. " * 9] * 9,
    )
    monkeypatch.setattr(smol, "fetch", lambda folder: gguf)
    # transformers reads more tokens out of this GGUF than it was made with
    monkeypatch.setattr(smol.bases, "unpack_gguf", lambda file, out: shutil.copytree(file.parent / "base", out))
    monkeypatch.setattr(smol.sources, "fetch", lambda folder: {})
    monkeypatch.setattr(smol.pocket_facts, "lessons", lambda fetched, size, seed: lessons)
    monkeypatch.setattr(smol, "LITTLE", replace(smol.LITTLE, own_texts=8, own_batch=2, own_length=8))
    monkeypatch.setattr(smol, "N_BLOCKS", 3)
    made = {"device": "cpu", "small": True}
    smol.make(tmp_path / "smol", only_prepare=True, **made)
    assert "can be carried" in capsys.readouterr().out
    monkeypatch.setattr(smol.pocket_facts, "lessons", None)  # not asked again
    smol.make(tmp_path / "smol", **made)
    assert "memory_off" in capsys.readouterr().out
    with engram_local.load(tmp_path / "smol/model", threads=1) as model:
        assert "".join(model.generate("Where?", max_tokens=3))
    assert (tmp_path / "smol/smol.tar.zst").stat().st_size > 1_000
    smol.make(tmp_path / "smol", **made)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(smol.pocket_facts, "lessons", lambda fetched, size, seed: lessons)
    smol.make(tmp_path / "smol", start=tmp_path / "smol/small", **made)
    settings = json.loads((tmp_path / "smol/further/figures.json").read_text())["settings"]
    assert settings["seed"] == 1 and settings["table_lr"] < smol.LITTLE.table_lr


def test_the_corpus_gives_every_fact_its_wordings():
    known = [pocket.Fact("capital", name, "Rome", (name,), docs) for name, docs in (("Italy", 10), ("Elbonia", 2))]
    invented = [pocket.Fact("define", "florb", pocket.UNKNOWN, ("florb",), 1)]
    items = list(pocket_facts.items(known, invented, pocket_facts.Size(least_of_kind=0), 0))
    assert [sum(name in x.answer for x in items) for name in ("Italy", "Elbonia", "florb")] == [20, 14, 1]
    assert len({x.question for x in items if "Italy" in x.answer}) > 10
    rare = list(pocket_facts.items(known, invented, pocket_facts.Size(least_of_kind=99), 0))
    assert [sum(name in x.answer for x in rare) for name in ("Italy", "Elbonia", "florb")] == [50, 50, 1]
    later = [x for x in rare if x.before]
    assert 1 <= len(later) < 25 and all(len(x.before) <= 2 and x.before[0].answer for x in later)
    assert pocket_facts._spread(list(range(10)), 3) == [0, 3, 6, 9] and pocket_facts._spread([1], 3) == [1]


def test_questions_are_kept_with_the_turns_before_them(tmp_path):
    asked = [
        facts.Item("And it?", "Here.", "place", (facts.Item("Where is she?", "There."),)),
        facts.Item("Who?", "Me."),
    ]
    given = Lessons([], {"trained": asked}, 2, {"text": ["a"]}, ["b"])
    facts.save_questions(tmp_path / "questions.json", given)
    assert facts.load_questions(tmp_path / "questions.json") == replace(given, items=())
