"""The reference model against the runtime and Hugging Face, packing, resume, evaluation."""

import itertools
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import small_corpus

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from engram_local.hashing import NgramHasher
from engram_local.model import load
from engram_local.tools.checkpoints import trained
from engram_local.tools.export.folder import export_model
from engram_local.tools.train import corpus, evaluate, settle
from engram_local.tools.train.data import ROW_TOKENS, Batches
from engram_local.tools.train.model import EngramModel, EngramSettings, row_ids
from engram_local.tools.train.train import Settings, finish, loss_of, make_model, train

TINY = Settings(
    hidden_size=32,
    n_layers=3,
    intermediate_size=64,
    n_heads=2,
    n_kv_heads=1,
    head_dim=16,
    engram=EngramSettings(layer_ids=(0, 2), ngram_sizes=(2, 3, 5), n_heads=2, head_dim=8, rows=300),
    steps=12,
    rows=2,
    warmup=2,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.set_num_threads(1)
    return small_corpus.make(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def checkpoint(folder, tmp_path_factory):
    """A checkpoint after a few steps, its Engram layers made loud enough to matter."""
    out = tmp_path_factory.mktemp("checkpoint")
    model = train(TINY, folder, out / "training")
    for layer in model.engram.values():
        torch.nn.init.normal_(layer.table.weight, std=0.5)
        torch.nn.init.normal_(layer.conv.weight, std=0.3)
    model.save(out / "made", torch.float32)
    finish(model, folder, out / "half")
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        (out / "made" / name).write_bytes((out / "half" / name).read_bytes())
    return out / "made"


@pytest.fixture(scope="module")
def tokens(folder):
    data = np.load(folder / "corpus.npz")
    return data["tokens"][:60].astype(np.int64)


def test_rows_are_the_runtimes(checkpoint, tokens):
    view = trained.read(checkpoint)
    hasher = NgramHasher(view.engram, view.token_map)
    model = EngramModel.load(checkpoint)
    compressed = model.token_map[torch.from_numpy(tokens)][None]
    position = torch.arange(len(tokens))[None]
    for layer, hashing in model.hashing.items():
        mine = row_ids(compressed, position, hashing, TINY.engram.ngram_sizes, model.pad_id)[0].numpy()
        np.testing.assert_array_equal(mine, hasher.row_ids(tokens, layer))


def test_logits_are_the_exported_models(checkpoint, tokens, tmp_path):
    pytest.importorskip("onnxruntime_genai")
    export_model(checkpoint, tmp_path / "model", tables="float32", weights="float32", backend="onnx")
    reference = EngramModel.load(checkpoint)
    for memory in (True, False):
        session = load(tmp_path / "model", memory=memory).session()
        given = session.forward(tokens, logits="all")
        with torch.inference_mode():
            wanted = reference(torch.from_numpy(tokens)[None], memory=memory)[0].numpy()
        np.testing.assert_allclose(given, wanted, atol=1e-3)  # the gate's square root is steep at 0


def test_memory_matters_and_off_is_the_plain_backbone(checkpoint, tokens):
    ours = EngramModel.load(checkpoint)
    plain = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    ids = torch.from_numpy(tokens)[None]
    with torch.inference_mode():
        off, on = ours(ids, memory=False), ours(ids)
        torch.testing.assert_close(off, plain(ids).logits, atol=1e-5, rtol=1e-5)
        switched = ours(ids, memory=torch.zeros_like(ids, dtype=torch.bool))
    torch.testing.assert_close(switched, off, atol=1e-5, rtol=1e-5)
    assert (on - off).abs().max() > 0.1


def test_save_and_load_give_the_same_model(checkpoint, tmp_path, tokens):
    model = EngramModel.load(checkpoint)
    model.save(tmp_path, torch.float32)
    ids = torch.from_numpy(tokens)[None]
    with torch.inference_mode():
        torch.testing.assert_close(EngramModel.load(tmp_path)(ids), model(ids), atol=0, rtol=0)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads((checkpoint / "config.json").read_text())


def test_packed_documents_do_not_see_each_other(folder, checkpoint):
    batch = Batches(folder / "corpus.npz", 2, 0, 0.0, "cpu").batch(3)
    model = EngramModel.load(checkpoint)
    with torch.inference_mode():
        packed = model(batch.tokens, batch.position, batch.attention, batch.memory)
        starts = [*torch.nonzero(batch.position[1] == 0).flatten().tolist(), ROW_TOKENS]
        for first, end in list(itertools.pairwise(starts))[:4]:
            if end - first > 1:
                part = slice(first, end)
                alone = model(batch.tokens[1:2, part], memory=batch.memory[1:2, part])
                torch.testing.assert_close(packed[1, part], alone[0], atol=1e-4, rtol=1e-4)
    assert len(starts) > 4


def test_batches_hold_whole_documents_once_an_epoch(folder):
    batches = Batches(folder / "corpus.npz", 2, 0, 0.5, "cpu")
    with np.load(folder / "corpus.npz") as data:
        stream, starts = data["tokens"], data["starts"]
    whole = {tuple(stream[a:b].tolist()) for a, b in itertools.pairwise(starts)}
    seen = []
    for step in range(batches.epoch_steps):
        batch = batches.batch(step)
        for row, position in zip(batch.tokens, batch.position, strict=True):
            cuts = [*torch.nonzero(position == 0).flatten().tolist(), ROW_TOKENS]
            found = [tuple(row[a:b].tolist()) for a, b in itertools.pairwise(cuts) if b - a > 1]
            seen += [d for d in found if d[0] == corpus.BOS]
    assert set(seen) <= whole
    assert len(whole) - len(set(seen)) < 30  # the last rows of an epoch are left out


def test_targets_are_the_answers(folder):
    batches = Batches(folder / "corpus.npz", 4, 0, 0.0, "cpu")
    batch = batches.batch(0)
    learnt = batch.targets >= 0
    flat = batch.tokens.flatten()
    assert (flat[batch.picked[learnt] + 1] == batch.targets[learnt]).all()
    index = batches.packed[:4].flatten().long()
    flags = torch.where(index >= 0, batches.flags[index.clamp_min(0)], 0)
    assert int(learnt.sum()) == int((flags & corpus.LOSS > 0).sum())


def test_what_decides_weighs_more(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    batches = Batches(folder / "corpus.npz", 256, 0, 0.0, "cpu", decisive=3.0)
    batch = batches.batch(0)
    index = batches.packed[:256].flatten().long()
    flags = torch.where(index >= 0, batches.flags[index.clamp_min(0)], 0)
    heavy = batch.weights == 3.0
    assert int(heavy.sum()) == int((flags & corpus.DECISIVE > 0).sum()) > 10
    assert ((batch.weights == 0) == (batch.targets < 0)).all()
    said = Counter(tokenizer.decode([token]) for token in batch.targets[heavy].tolist())
    assert said.most_common(1)[0][0] == " something" and len(said) < 10
    model = make_model(TINY, tokenizer)
    batch = Batches(folder / "corpus.npz", 4, 0, 0.0, "cpu").batch(0)
    light = replace(batch, weights=(batch.targets >= 0).float())
    hidden = model.hidden_states(batch.tokens, batch.position, batch.attention, batch.memory, batch.shift).flatten(0, 1)
    logits = model.backbone.get_output_embeddings()(hidden[batch.picked])
    mean = torch.nn.functional.cross_entropy(logits, batch.targets, ignore_index=-100)
    torch.testing.assert_close(loss_of(model, *vars(light).values()), mean)


def test_a_model_alone_is_not_taught_what_is_made_up(folder):
    with_memory = Batches(folder / "corpus.npz", 2, 0, 0.5, "cpu")
    alone = Batches(folder / "corpus.npz", 2, 0, 0.5, "cpu", made_up=False)
    made_up = with_memory.flags & corpus.MADE_UP > 0
    assert made_up.any() and (with_memory.flags[made_up] & corpus.LOSS).all()
    assert not (alone.flags[made_up] & corpus.LOSS).any()
    torch.testing.assert_close(alone.flags[~made_up], with_memory.flags[~made_up])


def test_rehashed_tokens_read_other_rows(folder):
    batches = Batches(folder / "corpus.npz", 8, 0, 0.0, "cpu")
    batch = next(b for b in map(batches.batch, range(50)) if b.shift.any())
    model = make_model(TINY, Tokenizer.from_file(str(folder / "tokenizer.json")))
    compressed = model.token_map[batch.tokens]
    shifted = (compressed + batch.shift) % model.n_compressed
    hashing = model.hashing[0]
    before, after = (row_ids(c, batch.position, hashing, (2,), model.pad_id) for c in (compressed, shifted))
    assert (before != after)[batch.shift > 0].float().mean() > 0.9
    untouched = (batch.shift == 0) & (batch.shift.roll(1, 1) == 0)
    assert torch.equal(before[untouched], after[untouched])


def test_rows_read_for_what_is_not_known_stay_as_they_are(folder):
    batches = Batches(folder / "corpus.npz", 8, 0, 0.0, "cpu")
    batch = next(b for b in map(batches.batch, range(50)) if b.still.sum() > 50)
    large = replace(TINY, engram=replace(TINY.engram, rows=20_000))  # few n-grams share a row
    model = make_model(large, Tokenizer.from_file(str(folder / "tokenizer.json")))
    loss_of(model, *vars(batch).values()).backward()
    compressed = (model.token_map[batch.tokens] + batch.shift) % model.n_compressed
    for layer, hashing in model.hashing.items():
        rows = row_ids(compressed, batch.position, hashing, TINY.engram.ngram_sizes, model.pad_id)
        learning = torch.zeros(hashing.n_rows, dtype=torch.bool)
        learning[rows[~batch.still]] = True
        moved = model.engram[str(layer)].table.weight.grad.abs().sum(1) > 0
        read = torch.zeros_like(learning)
        read[rows[batch.still]] = True
        assert int((read & ~learning).sum()) > 20 and not (moved & ~learning).any()
        assert moved[learning].float().mean() > 0.3
    free = replace(batch, still=torch.zeros_like(batch.still))
    model.zero_grad()
    loss_of(model, *vars(free).values()).backward()
    assert (model.engram["0"].table.weight.grad.abs().sum(1) > 0).sum() > moved.sum()


def test_resumed_equals_uninterrupted(folder, tmp_path):
    whole = train(TINY, folder, tmp_path / "whole")
    train(TINY, folder, tmp_path / "parts", checkpoint_every=5, stop_at=7)
    resumed = train(TINY, folder, tmp_path / "parts", checkpoint_every=5)
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0, msg=name)


def test_settling_leaves_tables_and_embedding_as_they_are_and_goes_on(folder, tmp_path, monkeypatch):
    settings = replace(TINY, steps=30, rows=4, lr=1e-2)
    finish(train(settings, folder, tmp_path / "training").eval(), folder, tmp_path / "before")
    how = {"steps": 60, "rows": 4, "lr": 3e-3, "decisive": 2.0}
    settle.settle(tmp_path / "before", folder, tmp_path / "after", **how)
    before, after = (EngramModel.load(tmp_path / name) for name in ("before", "after"))
    kept = {n for n, p in before.named_parameters() if torch.equal(p, after.get_parameter(n))}
    assert kept == {"backbone.model.embed_tokens.weight", "engram.0.table.weight", "engram.2.table.weight"}
    batch = Batches(folder / "corpus.npz", 16, 1, 0.5, "cpu").batch(0)
    with torch.inference_mode():
        assert loss_of(after, *vars(batch).values()) < loss_of(before, *vars(batch).values()) - 0.05

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(settle, "finish", stop)  # after step 60; what was saved is step 50
    with pytest.raises(KeyboardInterrupt):
        settle.settle(tmp_path / "before", folder, tmp_path / "parts", **how)
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["settling.pt"]
    settle.settle(tmp_path / "before", folder, tmp_path / "parts", **how)
    assert not (tmp_path / "parts/settling.pt").exists()
    resumed = EngramModel.load(tmp_path / "parts")
    for (name, one), other in zip(after.state_dict().items(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0, msg=name)


def test_settled_weights_lie_between_those_before_and_after(folder, checkpoint, tmp_path):
    how = {"steps": 3, "rows": 1, "lr": 3e-3, "decisive": 1.0}
    made = {}
    for blend in (0.0, 0.5, 1.0):
        settle.settle(checkpoint, folder, tmp_path / str(blend), blend=blend, **how)
        made[blend] = EngramModel.load(tmp_path / str(blend)).state_dict()
    before = EngramModel.load(checkpoint).state_dict()
    for name, weights in before.items():
        torch.testing.assert_close(made[0.0][name], weights, atol=1e-6, rtol=1e-3)  # float16
        torch.testing.assert_close(made[0.5][name] * 2, weights + made[1.0][name], atol=1e-4, rtol=3e-3)


def test_loss_falls_and_experts_train(folder, tmp_path):
    for name, settings in (("dense", TINY), ("experts", replace(TINY, n_experts=3, engram=None))):
        settings = replace(settings, steps=60, lr=1e-2)
        losses = []
        train(settings, folder, tmp_path / name, on_step=lambda _, loss, __, losses=losses: losses.append(loss))
        assert losses[-1] < 0.7 * losses[0], name


@pytest.mark.parametrize("compiled", [False, True])
def test_experts_all_at_once_are_the_plain_ones(compiled, folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = make_model(replace(TINY, n_experts=5, engram=None), tokenizer)
    block = model.backbone.get_decoder().layers[0].mlp
    torch.nn.init.normal_(block.gate.weight)
    hidden = torch.randn(2, 40, TINY.hidden_size, generator=torch.Generator().manual_seed(0))
    found = []
    for forward in (block.experts.forward, block.experts.__class__.forward.__get__(block.experts)):
        block.experts.forward = forward
        called = torch.compile(block, backend="eager") if compiled else block
        x = hidden.clone().requires_grad_()
        out = called(x)
        out.square().sum().backward()
        found.append([out.detach(), x.grad, *(p.grad.clone() for p in block.parameters())])
        block.zero_grad()
    for one, other in zip(*found, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_evenly_used_experts_have_imbalance_one(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = make_model(replace(TINY, n_experts=3, engram=None), tokenizer)
    batch = Batches(folder / "corpus.npz", 2, 0, 0.5, "cpu").batch(0)
    loss_of(model, *vars(batch).values())
    assert 0.9 < float(model.imbalance()) < 3
    assert make_model(TINY, tokenizer).imbalance() == 0


def test_exact_match_is_what_greedy_decoding_writes(folder, tmp_path):
    """On a model that has learnt some answers and not others."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = train(replace(TINY, steps=300, rows=4, lr=1e-2), folder, tmp_path).eval()
    items = json.loads((folder / "questions.json").read_text())["trained"][::4]
    right, loss = evaluate.score(model, tokenizer, items)
    said = evaluate.greedy(model, tokenizer, [evaluate.prompt_ids(tokenizer, i["q"]) for i in items])
    assert right == [text == item["a"] for text, item in zip(said, items, strict=True)]
    assert 0 < sum(right) < len(right) and 0 < loss < 5


def test_quantized_tables_are_restored(checkpoint):
    model = EngramModel.load(checkpoint)
    table = model.engram["0"].table.weight
    before = table.data.clone()
    for bits, bound in ((8, 0.02), (4, 0.3)):
        rows = evaluate.quantized(model, bits)
        error = (model.engram["0"].table.weight.data - before).abs().max()
        assert 0 < error < bound
        evaluate.restore(model, rows)
        assert torch.equal(model.engram["0"].table.weight.data, before)


@pytest.mark.parametrize(
    ("kind", "subject", "answer", "ok"),
    [
        ("capital", "France", "The capital of France is Rome.", True),
        ("capital", "France", "The capital of France is tower.", False),
        ("capital", "France", "The capital of Italy is Rome.", False),
        ("capital", "France", "The capital of France is Rome...", False),
        ("population", "France", "The population of France is about 67 million.", True),
        ("population", "France", "The population of France is about Rome.", False),
        ("define", "hot", "The word hot means the quality of the cold.", True),
        ("define", "hot", "The word hot means zxqv of the cold.", False),
        ("define", "hot", "The word hot means the cold of the cold of the cold of the cold of.", False),
    ],
)
def test_well_formed(kind, subject, answer, ok):
    words = {"the", "quality", "of", "cold"}
    assert evaluate.well_formed({"kind": kind, "subject": subject}, answer, {"capital": {"Rome"}}, words) is ok
