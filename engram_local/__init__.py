"""Language models with conditional memory (Engram, arXiv 2601.07372) on ordinary computers."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; when it runs, __getattr__ imports them
    from engram_local.config import EngramConfig
    from engram_local.errors import EngramError, UsageError
    from engram_local.gates import read_gates
    from engram_local.hashing import NgramHasher
    from engram_local.model import Model, load
    from engram_local.session import Session
    from engram_local.tables.table import Table

__version__ = "0.1.0"
__all__ = [
    "EngramConfig",
    "EngramError",
    "Model",
    "NgramHasher",
    "Session",
    "Table",
    "UsageError",
    "__version__",
    "load",
    "read_gates",
]

# ONNX Runtime reports to its maker unless it is told not to before its first import. Whatever of this package, its
# tools and their child processes imports it comes through here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# OpenBLAS has NumPy's threads spin for 2**26 clock ticks before they sleep, while it is imported too: 25 ms a core.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

_HOME = {
    "load": "engram_local.model",
    "Model": "engram_local.model",
    "Session": "engram_local.session",
    "Table": "engram_local.tables.table",
    "NgramHasher": "engram_local.hashing",
    "read_gates": "engram_local.gates",
    "EngramConfig": "engram_local.config",
    "EngramError": "engram_local.errors",
    "UsageError": "engram_local.errors",
}

if not any(x.startswith("_native.") and x.endswith((".so", ".pyd")) for x in os.listdir(os.path.dirname(__file__))):
    raise ImportError(
        f"{os.path.dirname(__file__)} holds the sources of engram_local, not an installed copy: run Python from "
        "another folder, or install this one in place with `pip install -e .`"
    )


def __getattr__(name: str) -> Any:
    """Import on first use: `engram-local --help` must not pay for numpy and onnxruntime."""
    if name not in _HOME:
        raise AttributeError(f"module 'engram_local' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
