"""A labelled list: labels in the left column, texts in the right. Summary, report, status and estimate print it.

Texts go on in their own column where they are wider than the terminal, or than 80 columns where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from shutil import get_terminal_size
from textwrap import wrap
from typing import NamedTuple

from batchchat.text.escape import escaped

__all__ = ["LabelledLine", "labelled", "labelled_list", "next_lines"]


_MIN_COLUMNS = 40


class LabelledLine(NamedTuple):
    """One line of the list; `label` is empty where the line continues the one before it.

    A text that is `pasted`, a path or a command, stays on its line however long it is.
    """

    label: str
    text: str
    pasted: bool = False


def labelled(label: str, texts: Iterable[str], *, pasted: bool = False) -> list[LabelledLine]:
    """A line for each of `texts`; the first carries `label`."""
    return [LabelledLine("" if number else label, text, pasted) for number, text in enumerate(texts)]


def labelled_list(lines: Iterable[LabelledLine], *, width: int = 10, indent: int = 2) -> str:
    """`lines` as text: `indent` spaces, the label in `width` columns, the text; no spaces at the end of a line."""
    columns = max(_MIN_COLUMNS, get_terminal_size().columns) - 1  # a full line is two lines on some terminals
    return "\n".join(
        f"{'':{indent}}{label:<{width}}{part}".rstrip()
        for line in lines
        for label, part, _ in labelled(line.label, _parts(line, columns - indent - width))
    )


def _parts(line: LabelledLine, width: int) -> list[str]:
    """The text of `line` as lines of at most `width` characters; words are not broken."""
    text = escaped(line.text)
    if line.pasted or len(text) <= width:
        return [text]
    words = text.lstrip(" ")
    indent = " " * (len(text) - len(words))
    return wrap(
        words,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def next_lines(commands: Iterable[str]) -> str:
    """`next  COMMAND`: what can be typed next, a line for each of `commands`."""
    return labelled_list(labelled("next", commands, pasted=True), width=6, indent=0)
