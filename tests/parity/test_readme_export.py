"""The README's blocks that need an extra, as they stand, where it is installed."""

from test_readme import assert_clean, fences, make_clone, needs_extra, run_block


def test_blocks_with_extras(tmp_path):
    blocks = [x for x in fences("sh") if needs_extra(x)]
    assert blocks
    for block in blocks:
        run_block(block, make_clone(tmp_path))
    assert_clean(tmp_path)
