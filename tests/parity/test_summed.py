"""N-gram tables added to the input embedding (LongCat's hashing) on OLMo 2 and OLMo 3, against transformers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from parity.tiny_bases import HIDDEN, VOCAB, make_base
from safetensors.torch import save_file

import engram_local
from engram_local.errors import EngramError
from engram_local.session import forward_together
from engram_local.tools.checkpoints import open_checkpoint
from engram_local.tools.export.folder import export_model

ORDERS, SPLIT, M, EOS = (2, 3), 4, 401, 2
N_TABLES = len(ORDERS) * SPLIT
DIM = HIDDEN // N_TABLES
IDS = np.random.default_rng(0).integers(6, VOCAB, 40)
IDS[[11, 12, 30]] = EOS
NAMES = {"tables": "ngram.tables.{}.weight", "projections": "ngram.proj.{}.weight"}
SCALES = {"all": (1 / 9, 1 / 9), "rows": (1.0, 1 / 9)}  # LongCat-Flash-Lite's, and its Sparse release's
EXACT = {"gguf": {"kv_type": "float32", "flash_attention": "off"}, "onnx": {}}


def rows_of(tables: list[np.ndarray], ids: np.ndarray) -> np.ndarray:
    """The rule written out, one token after another: float32 [n, tables * dim]."""
    out = []
    for p in range(len(ids)):
        ends = [i for i in range(p) if ids[i] == EOS]
        start = ends[-1] + 1 if ends else 0
        of_token = []
        for t, table in enumerate(tables):
            order = ORDERS[t // SPLIT]
            past = [int(ids[p - s]) if p - s >= start else 0 for s in range(order)]
            of_token.append(table[sum(x * VOCAB**s for s, x in enumerate(past)) % len(table)])
        out.append(np.concatenate(of_token))
    return np.array(out)


@pytest.fixture(scope="module", params=[(f, s) for f in ("olmo2", "olmo3") for s in SCALES], ids="-".join)
def case(request, tmp_path_factory):
    """A base, a checkpoint of tables beside it, both backbones, and transformers' logits."""
    family, name = request.param
    folder, (word, scale) = tmp_path_factory.mktemp(family), SCALES[name]
    model = make_base(family, folder / "base")
    rng = np.random.default_rng(5)
    tables = [rng.standard_normal((M + 2 * t + 1, DIM)).astype(np.float32) for t in range(N_TABLES)]
    projections = [rng.standard_normal((HIDDEN, DIM)).astype(np.float32) for _ in range(N_TABLES)]
    (folder / "ngram").mkdir()
    state = {NAMES["tables"].format(t): torch.from_numpy(x) for t, x in enumerate(tables)}
    state |= {NAMES["projections"].format(t): torch.from_numpy(x) for t, x in enumerate(projections)}
    save_file(state, folder / "ngram" / "model.safetensors")
    config = {"orders": list(ORDERS), "tables_per_order": SPLIT, "m": M, "eos_token_id": EOS, **NAMES}
    config |= {"word_scale": word, "rows_scale": scale}
    (folder / "ngram" / "ngram_config.json").write_text(json.dumps(config))
    options = {"tables": "float32", "weights": "float32", "backend": "both"}
    export_model(folder / "ngram", folder / "model", folder / "base", **options)
    embedding = model.get_input_embeddings().weight.detach().numpy()[IDS]
    rows = rows_of(tables, IDS)
    with torch.no_grad():
        logits = [
            model(inputs_embeds=torch.from_numpy((word * embedding + scale * x).astype(np.float32))[None]).logits[0]
            for x in (rows @ np.concatenate(projections, axis=1).T, np.zeros_like(embedding))
        ]
    return SimpleNamespace(folder=folder, memory=logits[0].numpy(), plain=logits[1].numpy())


@pytest.fixture(params=["onnx", "gguf"])
def model(request, case):
    if request.param == "gguf":
        pytest.importorskip("llama_cpp")
    with engram_local.load(case.folder / "model", backend=request.param, threads=1, **EXACT[request.param]) as model:
        yield model


def spread(logits, expected) -> float:
    """The largest error, in units of the logits' own spread."""
    return float(np.abs(logits - expected).max() / expected.std())


def test_logits_are_transformers(case, model):
    assert spread(model.session().forward(IDS, "all"), case.memory) < 1e-5
    assert spread(model.session(memory=False).forward(IDS, "all"), case.plain) < 1e-5
    assert spread(case.memory, case.plain) > 0.5


def test_chunks_decode_and_rewind(case, model):
    session = model.session()
    parts = [session.forward(x, "all") for x in np.split(IDS, [7, 8, 9, 13, 31])]
    assert spread(np.concatenate(parts), case.memory) < 1e-5
    session.rewind(12)
    assert spread(np.concatenate([session.forward([x]) for x in IDS[12:]]), case.memory[12:]) < 1e-5


def test_sequences_share_steps(case, model):
    sessions = [model.session(x) for x in (True, False)]
    for session in sessions:
        session.forward(IDS[:9])
    steps = [forward_together([(x, [t], "last") for x in sessions]) for t in IDS[9:15]]
    for i, expected in enumerate((case.memory, case.plain)):
        assert spread(np.concatenate([x[i] for x in steps]), expected[9:15]) < 1e-5


def test_the_gate_is_always_open(model):
    session = model.session()
    session.forward(IDS[:5], gates=True)
    assert np.allclose(session.gates[0], 1)


@pytest.mark.parametrize("weights", ["int8", "int4"])
def test_smaller_weights(case, tmp_path, weights):
    export_model(case.folder / "ngram", tmp_path / "model", case.folder / "base", weights=weights)
    with engram_local.load(tmp_path / "model", threads=1) as model:
        error = np.square(model.session().forward(IDS, "all") - case.memory).mean() ** 0.5
    assert 0 < error / case.memory.std() < {"int8": 0.05, "int4": 0.3}[weights]


def test_tables_may_stay_where_they_are(case, tmp_path):
    info = export_model(case.folder / "ngram", tmp_path / "model", case.folder / "base", weights="float32", link=True)
    assert info["tables"]["tables/layer_0.link.json"]["encoding"] == "float32"
    with engram_local.load(tmp_path / "model", threads=1) as model:
        assert spread(model.session().forward(IDS, "all"), case.memory) < 1e-5


def test_a_gguf_from_elsewhere_takes_the_tables(case, tmp_path):
    pytest.importorskip("llama_cpp")
    from engram_local.tools.attach import attach

    options = {"tables": "float32", "weights": "float32"}
    attach(
        case.folder / "model" / "backbone.gguf",
        case.folder / "ngram",
        tmp_path / "out",
        case.folder / "base",
        **options,
    )
    with engram_local.load(tmp_path / "out", threads=1, **EXACT["gguf"]) as model:
        assert spread(model.session().forward(IDS, "all"), case.memory) < 1e-5


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"m": 403}, r"ngram\.tables\.0\.weight is \[402, 32\], .* ask for \[404, 32\]"),
        ({"orders": []}, r"orders is '\[\]', not a list of integers"),
        ({"tables_per_order": None}, r"lacks tables_per_order"),
        ({"tables_per_order": 5}, r"has no tensor 'ngram\.tables\.8\.weight'"),
        ({"word_scale": 0}, r"word_scale is '0', not a number above 0"),
        ({"tables": "ngram.tables.weight"}, r"tables is 'ngram\.tables\.weight', not a tensor's name with \{\}"),
        ({"eos_token_id": 99999}, r"eos_token_id is '99999', not one token"),
    ],
)
def test_what_does_not_fit_is_named(case, tmp_path, change, match):
    (tmp_path / "model.safetensors").symlink_to(case.folder / "ngram" / "model.safetensors")
    config = json.loads((case.folder / "ngram" / "ngram_config.json").read_text()) | change
    (tmp_path / "ngram_config.json").write_text(json.dumps(config))
    with pytest.raises(EngramError, match=match) as info:
        open_checkpoint(tmp_path, case.folder / "base")
    assert "\n" not in str(info.value)
