"""Language models with conditional memory (Engram, arXiv 2601.07372) on ordinary computers."""

import os

__version__ = "0.1.0"

_PUBLIC = {
    "load": "engram_local.model",
    "Model": "engram_local.model",
    "Session": "engram_local.session",
    "Table": "engram_local.tables.table",
    "NgramHasher": "engram_local.hashing",
    "EngramConfig": "engram_local.config",
    "EngramError": "engram_local.errors",
}
__all__ = [*_PUBLIC, "__version__"]

if not any(name.startswith("_native.") for name in os.listdir(os.path.dirname(__file__))):
    raise ImportError(
        f"{os.path.dirname(__file__)} holds the sources of engram_local, not an installed copy: run Python from "
        "another folder, or install this one in place with `pip install -e .`"
    )


def __getattr__(name: str):
    """Import on first use: `engram-local --help` must not pay for numpy and onnxruntime."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'engram_local' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
