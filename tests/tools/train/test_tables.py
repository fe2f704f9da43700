"""docs/pocket.md holds the tables that its figures make."""

import json

import pytest

from engram_local.tools.train import tables

FIGURES = json.loads((tables.DOCS / "pocket/figures.json").read_text())
PAGE = (tables.DOCS / "pocket.md").read_text()


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_table_is_in_the_page(name):
    assert f"<!-- {name} -->\n{tables.TABLES[name](FIGURES)}\n<!-- end -->" in PAGE


def test_filling_again_changes_nothing():
    assert tables.fill(PAGE, FIGURES) == PAGE


def test_the_shipped_seed_is_in_the_figures():
    assert {"pocket_0", "alone_0"} <= set(FIGURES["final"])
    known = FIGURES["final"]["pocket_0"]["parameters"]
    assert known["tables"] > 3 * known["backbone"]


def test_spread():
    assert tables.spread([0.5]) == "0.500"
    assert tables.spread([0.1, 0.3, 0.2]) == "0.200 (0.100-0.300)"


def test_pictures_are_small():
    for name in ("kinds.png", "allocation.png"):
        data = (tables.DOCS / "pocket" / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) < 200_000 and f"pocket/{name}" in PAGE
