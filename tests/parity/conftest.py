"""Tests against software that nobody here wrote. They skip where torch is not installed."""

import os
import typing

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if not hasattr(typing, "override"):  # engram-peft takes it from typing, where Python 3.12 put it
    typing.override = lambda method: method

try:
    import torch
    import transformers
except ImportError:
    collect_ignore_glob = ["test_*.py"]
else:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()

    @pytest.fixture(scope="session", autouse=True)
    def one_thread():
        torch.set_num_threads(1)  # the models are tiny


@pytest.fixture(scope="session")
def adapter_of(tmp_path_factory):
    """(family, **options of make_adapter) -> (base path, adapter path), each made once; not to be altered."""
    from parity.adapters import make_adapter

    made = {}

    def get(family, **options):
        key = (family, repr(options))
        if key not in made:
            made[key] = make_adapter(tmp_path_factory.mktemp(family), family, **options)
        return made[key]

    return get


@pytest.fixture(scope="session")
def exported(adapter_of, tmp_path_factory):
    """(family, tables, weights, **options of make_adapter) -> (base, adapter, loaded model), each exported once."""
    import engram_local
    from engram_local.tools.export.folder import export_model

    made = {}

    def get(family, tables="float32", weights="float32", **options):
        key = (family, tables, weights, repr(options))
        if key not in made:
            base, adapter = adapter_of(family, **options)
            out = tmp_path_factory.mktemp(family) / "model"
            export_model(adapter, out, base=base, tables=tables, weights=weights)
            made[key] = base, adapter, engram_local.load(out, threads=1)
        return made[key]

    yield get
    for _, _, model in made.values():
        model.close()
