"""An answer on the screen while it comes: whole words a line, lists that hang, code as it is."""

import re
from collections.abc import Callable

_MARKER = re.compile(r"[-*+]|\d{1,3}[.)]")
FENCE = "```"


class ScreenWriter:
    """Writes a stream of text into lines of the screen's width.

    A word is shown once its end has come; one that is wider than the screen is left to the terminal. Between lines of
    ``` nothing is wrapped, and it is marked.
    """

    def __init__(self, write: Callable[[str, bool], None], width: Callable[[], int], column: int = 0):
        """Parameters: write: takes text and whether it is code; width: columns of the screen now; column: where the
        first line begins."""
        self._write, self._width = write, width
        self._column, self._indent = column, 0
        self._spaces, self._word = "", ""
        self._first_word = True  # of its line
        self._in_code = False

    def write(self, text: str) -> None:
        """Take more of the answer."""
        for c in text:
            if c == "\n":
                self._end_word()
                self._end_line()
            elif c in " \t":
                self._end_word()
                self._spaces += c
            else:
                self._word += c
                if _columns(c) > 1:  # Chinese, Japanese and Korean break anywhere
                    self._end_word()

    def flush(self) -> None:
        """Show what is held back."""
        self._end_word()

    def _end_word(self) -> None:
        if not self._word:
            return
        word, self._word = self._word, ""
        if self._first_word and word.startswith(FENCE):
            self._in_code = not self._in_code
            self._put(word, True)
        else:
            if self._first_word and self._spaces and not self._in_code:
                self._indent = self._column + len(self._spaces)
            wide = self._column + _columns(self._spaces + word) > self._width()
            if wide and not self._in_code and not self._first_word:
                self._write("\n" + " " * self._indent, False)
                self._column, self._spaces = self._indent, ""
            hangs = self._first_word and not self._in_code and _MARKER.fullmatch(word)
            self._put(word, self._in_code)
            if hangs:
                self._indent = self._column + 1
        self._first_word = False

    def _put(self, word: str, code: bool) -> None:
        self._write(self._spaces + word, code)
        self._column += _columns(self._spaces + word)
        self._spaces = ""

    def _end_line(self) -> None:
        self._write("\n", False)
        self._column, self._indent, self._spaces, self._first_word = 0, 0, "", True


def _columns(text: str) -> int:
    from prompt_toolkit.utils import get_cwidth

    return get_cwidth(text)
