"""A labelled list: labels in the left column, texts in the right. Summary, report, status and estimate print it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["LabelledLine", "labelled", "labelled_list", "next_lines"]


class LabelledLine(NamedTuple):
    """One line of the list; `label` is empty where the line continues the one before it."""

    label: str
    text: str


def labelled(label: str, texts: Iterable[str]) -> list[LabelledLine]:
    """A line for each of `texts`; the first carries `label`."""
    return [LabelledLine("" if number else label, text) for number, text in enumerate(texts)]


def labelled_list(lines: Iterable[LabelledLine], *, width: int = 10, indent: int = 2) -> str:
    """`lines` as text: `indent` spaces, the label in `width` columns, the text; no spaces at the end of a line."""
    return "\n".join(f"{'':{indent}}{line.label:<{width}}{line.text}".rstrip() for line in lines)


def next_lines(commands: Iterable[str]) -> str:
    """`next  COMMAND`: what can be typed next, a line for each of `commands`."""
    return labelled_list(labelled("next", commands), width=6, indent=0)
