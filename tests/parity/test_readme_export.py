"""The README's export commands, typed as they stand, on a random engram-peft adapter."""

import shutil

from test_readme import fences, run_block


def test_export_commands(adapter_of, tmp_path):
    base, adapter = adapter_of("qwen3")
    shutil.copytree(base, tmp_path / "base")
    shutil.copytree(adapter, tmp_path / "adapter")
    blocks = fences("console export")
    assert blocks
    for block in blocks:
        run_block(block, tmp_path)
