"""Fifty facts are taught to a tiny frozen model, and the runtime answers with them on both backends."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from parity.tiny_bases import CHAT_TEMPLATE, DENSE, TEXT, write_base
from transformers import LlamaConfig

import engram_local
from engram_local.tools.attach import attach
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.export.folder import export_model
from engram_local.tools.export.gguf import write_backbone_gguf
from engram_local.tools.teach import base as bases
from engram_local.tools.teach import evaluate, example, facts, own_text
from engram_local.tools.teach.__main__ import build, leave, main, teach
from engram_local.tools.teach.documents import Batches, Documents
from engram_local.tools.teach.facts import FactsError, Item
from engram_local.tools.teach.llama import Llama
from engram_local.tools.teach.model import LayerSettings, TaughtError
from engram_local.tools.teach.train import Settings

pytest.importorskip("llama_cpp")
pytest.importorskip("onnxruntime_genai")

LAYERS = LayerSettings((0, 1, 2), rows=1_500, n_heads=1, head_dim=32)
SETTINGS = Settings(epochs=30, batch=25, table_lr=2e-2, n_wordings=1, own_texts=32, own_batch=2, own_length=16)
SHORT = replace(SETTINGS, epochs=1, batch=10)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base") / "base"
    write_base(LlamaConfig(**DENSE | {"hidden_size": 128, "intermediate_size": 128, "num_attention_heads": 2}), folder)
    (folder / "chat_template.jinja").write_text("<|system|>Be brief.<|end|>" + CHAT_TEMPLATE)
    return folder


@pytest.fixture(scope="module")
def lessons(tmp_path_factory):
    path = tmp_path_factory.mktemp("facts") / "facts.jsonl"
    path.write_text("\n".join(map(json.dumps, example.facts(50))))
    return facts.lessons(path, SETTINGS.n_wordings, 50)


@pytest.fixture(scope="module")
def taught(base, lessons, tmp_path_factory):
    """(checkpoint folder, its figures)."""
    out = tmp_path_factory.mktemp("taught") / "taught"
    return out, teach(base, lessons, out, SETTINGS, LAYERS, say=lambda _: None)


@pytest.fixture(scope="module", params=["onnx", "gguf", "attached"])
def answers(request, base, taught, tmp_path_factory):
    """A function: (question, memory) -> the runtime's greedy answer."""
    folder = tmp_path_factory.mktemp(request.param)
    backend = "onnx" if request.param == "onnx" else "gguf"
    if request.param == "attached":  # to a GGUF of the same model that somebody had
        write_backbone_gguf(base, folder / "base.gguf")
        attach(folder / "base.gguf", taught[0], folder / "model", tables="int8", weights="float32")
    else:
        export_model(taught[0], folder / "model", base=base, backend=backend, tables="int8", weights="float32")
    with engram_local.load(folder / "model", threads=1, backend=backend) as model:

        def answer(question: str, memory: bool = True) -> str:
            model.memory = memory
            return "".join(model.generate(question, max_tokens=60, temperature=0))

        yield answer


def test_the_facts_are_learnt_by_the_tables(taught):
    _, figures = taught
    assert figures["plain"]["all"] >= 0.9
    assert figures["memory_off"]["all"] == 0


def test_the_runtime_answers(answers, lessons):
    asked = lessons.asked["plain"][:20]
    said = [answers(x.question) for x in asked]
    assert sum(s == x.answer for s, x in zip(said, asked, strict=True)) >= 17
    assert answers(asked[0].question, memory=False) != asked[0].answer


def test_attach_encodes_the_layers_as_it_is_told(base, taught, lessons, tmp_path):
    write_backbone_gguf(base, tmp_path / "base.gguf")
    for weights in ("int8", "int4"):
        command = ["attach", str(tmp_path / "base.gguf"), str(taught[0]), str(tmp_path / weights), "--weights", weights]
        subprocess.run([sys.executable, "-m", "engram_local.cli", *command], check=True, capture_output=True)
    small, large = ((tmp_path / x / "engram_layer_1.onnx").stat().st_size for x in ("int4", "int8"))
    assert small < 0.7 * large
    asked = lessons.asked["plain"][:20]
    with engram_local.load(tmp_path / "int4", threads=1) as model:
        said = ["".join(model.generate(x.question, max_tokens=60, temperature=0)) for x in asked]
    assert sum(s == x.answer for s, x in zip(said, asked, strict=True)) >= 14


def test_the_checkpoint_is_read_without_the_base(taught):
    view = open_checkpoint(taught[0])
    assert view.layout == "trained" and [x.conv for x in view.engram.layers] == [None] * 3
    assert all(x.conv_weight is None for x in view.layers.values())


def test_memory_off_is_the_base_bit_by_bit(base):
    model, _ = build(base, "cpu", LAYERS, 1)
    plain = bases.load(base, "cpu")
    ids = torch.arange(30)[None]
    for layer in model.layers.values():
        torch.nn.init.normal_(layer.table.weight)
    with torch.inference_mode():
        off = model.hidden_states(ids, chat=False, memory=False)
        assert torch.equal(off, plain.get_decoder()(input_ids=ids).last_hidden_state)
        assert (model.hidden_states(ids, chat=False) - off).abs().max() > 0.1


def test_untaught_layers_add_nothing(base):
    model, _ = build(base, "cpu", LAYERS, 1)
    ids = torch.arange(30)[None]
    with torch.inference_mode():
        on, off = (model.hidden_states(ids, chat=False, memory=x) for x in (True, False))
    assert torch.equal(on, off)


def test_the_prefix_computed_once_is_exact(base):
    model, chat = build(base, "cpu", LAYERS, 1)
    for layer in model.layers.values():
        torch.nn.init.normal_(layer.table.weight)
    model.silence_prefix()
    ((ids, n_asked),) = chat.encode([Item("Where is it?", "There.")])
    assert len(chat.prefix) > 5 and 0 < n_asked < len(ids) and ids[-1:] == chat.end
    whole, rest = torch.tensor([chat.prefix + ids]), torch.tensor([ids])
    with torch.inference_mode():
        for memory in (True, False):
            wanted = model.hidden_states(whole, chat=False, memory=memory)[:, len(chat.prefix) :]
            torch.testing.assert_close(model.hidden_states(rest, chat=True, memory=memory), wanted, atol=1e-4, rtol=0)


def test_the_written_out_llama_is_the_model(base, monkeypatch):
    """The blocks that a GPU trains through, not compiled: hidden states and the tables' gradients."""
    model, _ = build(base, "cpu", LAYERS, 1)
    for layer in model.layers.values():
        torch.nn.init.normal_(layer.table.weight)
    model.silence_prefix()
    assert Llama.fits(model.backbone)
    tokens = torch.arange(40, 70).reshape(2, 15)
    memory = torch.arange(15).expand(2, -1) > 4
    for chat in (False, True):
        found = []
        for llama in ([], [Llama(model.backbone)]):
            monkeypatch.setattr(model, "_llama", llama)
            hidden = model.hidden_states(tokens, chat, memory)
            hidden.square().mean().backward()
            found.append((hidden.detach(), *(x.table.weight.grad.clone() for x in model.layers.values())))
            model.zero_grad()
        for a, b in zip(*found, strict=True):
            assert a.abs().max() > 0
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_texts_begin_as_they_should(base, lessons):
    model, chat = build(base, "cpu", LAYERS, 1)
    documents = Documents.encode(chat, lessons.items)
    begun = own_text.starts(documents, 20, len(model.token_map), 0)
    assert {name: tuple(x.shape) for name, x in begun.items()} == {"text": (20, 1), "about": (20, 3), "chat": (20, 0)}
    listed = [tuple(documents.tokens[i : i + 3]) for i in range(len(documents.tokens) - 2)]
    assert all(tuple(x) in listed for x in begun["about"].tolist())
    for first in begun.values():
        text = own_text.write(model, first, 6, 0, 8, lambda *_: None)
        assert text.shape == (20, 6) and torch.equal(text[:, : first.shape[1]].long(), first)


def test_given_texts_are_cut_into_rows(base):
    _, chat = build(base, "cpu", LAYERS, 1)
    rows = own_text.cut(chat, [TEXT, TEXT], 8)
    whole = chat.tokenizer.core.encode(TEXT + "\n", add_special_tokens=False).ids * 2
    assert rows.shape[1] == 8 and rows.flatten().tolist() == whole[: rows.numel()] and len(whole) - rows.numel() < 8


def test_a_document_is_what_the_runtime_reads(base):
    _, chat = build(base, "cpu", LAYERS, 1)
    ((ids, n_asked),) = chat.encode([Item("Where is it?", "There.")])
    prompt = chat.tokenizer.encode_chat([{"role": "user", "content": "Where is it?"}])
    assert chat.prefix + ids[:n_asked] == prompt
    assert chat.tokenizer.decode(ids[n_asked:-1]) == "There."


def test_batches_hold_every_document_once_an_epoch(base, lessons):
    _, chat = build(base, "cpu", LAYERS, 1)
    documents = Documents.encode(chat, [*lessons.items, Item("", TEXT)])
    batches = Batches(documents, 8, 0, 0.5, torch.device("cpu"))
    given = [batch for step in range(batches.epoch_steps) for batch in batches.batch(step)]
    assert sum(len(b.tokens) for b in given) == len(documents) == 51
    for batch in given:
        assert batch.memory.flatten()[batch.picked].all()
        assert torch.equal(batch.tokens.flatten()[batch.picked + 1], batch.targets)
        assert batch.chat or batch.picked[0] == 0
    ends = sum(int((b.targets == chat.end[0]).sum()) for b in given)
    assert ends == 51
    assert sum(not b.chat for b in given) == 1


def test_long_batches_come_in_parts(base, lessons, monkeypatch):
    _, chat = build(base, "cpu", LAYERS, 1)
    batches = Batches(Documents.encode(chat, lessons.items), 16, 0, 0.5, torch.device("cpu"))
    (whole,) = batches.batch(0)
    monkeypatch.setattr("engram_local.tools.teach.documents.AT_ONCE", whole.tokens.numel() // 3)
    parts = batches.batch(0)
    assert len(parts) > 2 and sum(len(x.tokens) for x in parts) == len(whole.tokens) == 16
    assert sum(x.share for x in parts) == pytest.approx(whole.share) == 1
    assert torch.equal(torch.cat([x.targets for x in parts]), whole.targets)


def test_a_question_later_in_a_chat_is_what_the_runtime_reads(base):
    _, chat = build(base, "cpu", LAYERS, 1)
    ((ids, n_asked),) = chat.encode([Item("And it?", "Here.", before=(Item("Where is she?", "There."),))])
    turns = [("user", "Where is she?"), ("assistant", "There."), ("user", "And it?")]
    prompt = chat.tokenizer.encode_chat([{"role": role, "content": text} for role, text in turns])
    assert chat.prefix + ids[:n_asked] == prompt
    assert chat.tokenizer.decode(ids[n_asked:-1]) == "Here."


def test_resumed_equals_uninterrupted(base, lessons, tmp_path):
    lessons = replace(lessons, asked={})
    teach(base, lessons, tmp_path / "whole", SHORT, LAYERS, say=lambda _: None)
    said = []
    assert (
        teach(base, lessons, tmp_path / "parts", SHORT, LAYERS, stop_after=0, report_every=2, say=said.append) is None
    )
    assert "goes on" in said[-1] and (tmp_path / "parts/training/state.pt").exists()
    teach(base, lessons, tmp_path / "parts", SHORT, LAYERS, say=lambda _: None)
    one, other = (open_checkpoint(tmp_path / x) for x in ("whole", "parts"))
    for layer_id, table in one.tables.items():
        np.testing.assert_array_equal(table.read(0, table.n_rows), other.tables[layer_id].read(0, table.n_rows))


def test_the_steps_are_fitted_to_the_minutes(base, lessons, tmp_path):
    said = []
    hurried = replace(SHORT, epochs=10_000, minutes=0.02)
    teach(base, replace(lessons, asked={}), tmp_path / "out", hurried, LAYERS, report_every=2, say=said.append)
    last = [x for x in said if x.startswith("step")][-1].split()
    assert last[1] == last[3].rstrip(":") and 6 <= int(last[1]) < 50_000


def test_a_taught_checkpoint_is_taught_further(base, lessons, taught, tmp_path):
    gentle = replace(SHORT, table_lr=1e-4, lr=1e-4)
    figures = teach(base, lessons, tmp_path / "further", gentle, start=taught[0], say=lambda _: None)
    assert figures["plain"]["all"] >= 0.9 and figures["layers"]["rows"] == LAYERS.rows
    assert LayerSettings.read(tmp_path / "further") == LAYERS
    with pytest.raises(TaughtError, match="base: is no checkpoint that was taught"):
        teach(base, lessons, tmp_path / "none", gentle, start=base)
    model, _ = build(base, "cpu", LAYERS, 1)
    model.token_map += 1
    with pytest.raises(TaughtError, match="another vocabulary"):
        model.load(taught[0])
    model, _ = build(base, "cpu", replace(LAYERS, rows=100), 1)
    with pytest.raises(TaughtError, match=r"engram\.safetensors: cannot be loaded"):
        model.load(taught[0])


def test_ctrl_c_ends_a_step_and_keeps_it(base, lessons, tmp_path, capsys):
    def interrupt(line):
        if line.startswith("step"):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        teach(base, replace(lessons, asked={}), tmp_path, SHORT, LAYERS, report_every=2, say=interrupt)
    assert torch.load(tmp_path / "training/state.pt", weights_only=True)["step"] == 2
    with pytest.raises(SystemExit) as left:
        leave()
    assert left.value.code == 130 and "the same command goes on" in capsys.readouterr().err


def test_texts_report_what_changed(base, taught):
    model, chat = build(base, "cpu", LAYERS, 1)
    found = evaluate.texts(model, chat, [TEXT, TEXT[:40], "short"])
    assert found["divergence"] == 0 and found["perplexity"] == found["perplexity_off"]
    model.load(taught[0])
    found = evaluate.texts(model, chat, [TEXT, TEXT[:40]])
    assert found["divergence"] > 0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is no JSON"),
        ('{"question": "a"}', "strings that are not empty"),
        ('{"answer": "a"}', 'needs "question" and "answer"'),
        ('{"question": "a", "answer": "b", "text": "c"}', 'needs "question"'),
        ('{"question": [], "answer": " "}', "not empty"),
        ('{"question": 3, "answer": "b"}', "strings"),
        ("", "holds no fact"),
    ],
)
def test_bad_facts_are_refused_in_one_line(tmp_path, line, problem):
    path = tmp_path / "facts.jsonl"
    path.write_text(line)
    with pytest.raises(FactsError, match=problem) as error:
        facts.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_the_command_says_what_is_wrong(tmp_path):
    (tmp_path / "facts.jsonl").write_text('{"question": "a?", "answer": "b"}')
    with pytest.raises(SystemExit, match="is no Hugging Face folder"):
        main(
            [
                str(tmp_path / "out"),
                "--base",
                str(tmp_path),
                "--facts",
                str(tmp_path / "facts.jsonl"),
                "--device",
                "cpu",
            ]
        )
