"""The README's link commands, typed as they stand, on the random model that they make."""

import pytest
from test_readme import fences, run_block

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")


def test_link_commands(tmp_path):
    blocks = fences("console link")
    assert blocks
    for block in blocks:
        run_block(block, tmp_path)
