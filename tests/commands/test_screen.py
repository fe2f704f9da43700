"""Answers on screens of two widths, however the stream is cut."""

import textwrap

import pytest

from engram_local.commands.screen import ScreenWriter

PROSE = "The quick brown fox jumps over the lazy dog, again and again, until it is tired of it. " * 4


def shown(text, width, cut=1, column=0):
    out, code = [], []

    def write(piece, is_code):
        out.append(piece)
        if is_code:
            code.append(piece)

    screen = ScreenWriter(write, lambda: width, column)
    for i in range(0, len(text), cut):
        screen.write(text[i : i + cut])
    screen.flush()
    return "".join(out), "".join(code)


@pytest.mark.parametrize("width", [40, 100])
@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_words_stay_whole(width, cut):
    lines = shown(PROSE, width, cut)[0].split("\n")
    assert [x.rstrip() for x in lines] == textwrap.wrap(PROSE, width)


def test_the_first_line_begins_behind_a_name():
    first, second = shown("aaaa bbbb cccc", 15, column=7)[0].split("\n")
    assert (first, second) == ("aaaa", "bbbb cccc")


def test_lists_hang():
    text = "Two things:\n- the first one is long\n  12. so is the one inside of it\nEnd."
    assert shown(text, 20)[0].split("\n") == [
        "Two things:",
        "- the first one is",
        "  long",
        "  12. so is the one",
        "      inside of it",
        "End.",
    ]


def test_code_is_left_alone_and_marked():
    line = "    print('a line that is wider than the screen')  # yes"
    text = f"See:\n```python\n{line}\n```\nand go on"
    out, code = shown(text, 20)
    assert out == text
    assert line.strip().split()[0] in code and "go on" not in code


def test_wide_characters_break_anywhere():
    lines = shown("日本語の文章はどこでも折り返せます", 10)[0].split("\n")
    assert all(len(x) <= 5 for x in lines) and "".join(lines) == "日本語の文章はどこでも折り返せます"


def test_the_width_is_asked_at_each_word():
    widths = iter([100] * 3 + [10] * 100)
    out = []
    screen = ScreenWriter(lambda piece, _: out.append(piece), lambda: next(widths))
    screen.write("aaaa bbbb cccc dddd eeee ")
    assert "".join(out) == "aaaa bbbb cccc\ndddd eeee"
