"""docs/chat.md: each habit of other tools has its test, and every test that the page names is there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "chat.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:[a-z_]+/)*test_\w+\.py)(?:::(\w+))?`")
TABLE = PAGE.partition("## Where other tools' habits lead")[2]
ROWS = [x for x in TABLE.splitlines() if x.startswith("| ")][1:]


def cells(row):
    return [x.strip() for x in re.split(r"(?<!\\)\|", row)[1:-1]]


@pytest.mark.parametrize("row", ROWS, ids=lambda x: cells(x)[0])
def test_each_habit_has_its_test(row):
    habit, *others, ours, tests = cells(row)
    assert habit and len(others) == 4 and ours
    assert NAMED.findall(tests) and not NAMED.sub("", tests).replace(",", "").strip()


@pytest.mark.parametrize(("file", "function"), sorted(set(NAMED.findall(PAGE))), ids=str)
def test_each_test_is_there(file, function):
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    names = {x.name for x in tree.body if isinstance(x, ast.FunctionDef)}
    assert (function in names) if function else any(x.startswith("test_") for x in names)


def test_the_table_is_read_whole():
    assert len(ROWS) > 25 and cells("| a | `x\\|y` | |") == ["a", "`x\\|y`", ""]
