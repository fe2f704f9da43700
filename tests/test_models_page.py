"""docs/models.md: each line names a test that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_each_test_is_there():
    named = TEST.findall(PAGE.read_text(encoding="utf-8"))
    assert named
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), f"{file}::{name}"


def test_each_row_of_a_table_names_one():
    rows = [x for x in PAGE.read_text(encoding="utf-8").splitlines() if x.startswith("|")]
    heads = [i for i, x in enumerate(rows) if x.startswith("|---")]
    body = [x for i, x in enumerate(rows) if i not in heads and i + 1 not in heads]
    assert len(body) > 30
    for row in body:
        assert TEST.search(row.rsplit("|", 2)[1]), row
