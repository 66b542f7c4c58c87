"""What is to be known of a job's texts before one of them is parsed as a template, which takes Jinja2."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Names", "is_template"]


def is_template(text: str) -> bool:
    """Whether `text` has anything for a template to do; else it stays as it is."""
    return "{{" in text or "{%" in text or "{#" in text


class Names(NamedTuple):
    """The columns that a template or a condition reads: all where `reads_row`, since it may look up any.

    `required` are those that it uses without asking first whether they are there.
    """

    read: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    reads_row: bool = False

    def __or__(self, more: Names) -> Names:
        return Names(self.read | more.read, self.required | more.required, reads_row=self.reads_row or more.reads_row)
