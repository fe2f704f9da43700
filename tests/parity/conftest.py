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
    def two_threads():
        torch.set_num_threads(2)
