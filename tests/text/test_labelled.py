"""Labelled lists."""

from __future__ import annotations

from batchchat.text.labelled import LabelledLine, labelled, labelled_list, next_lines


def test_the_first_of_several_lines_has_the_label() -> None:
    """What belongs together is labelled once."""
    assert labelled("cost", ["a", "b"]) == [LabelledLine("cost", "a"), LabelledLine("", "b")]
    assert labelled("cost", []) == []


def test_texts_stand_in_a_column() -> None:
    """Labels are padded to one width; a line without text has no spaces at its end."""
    lines = [LabelledLine("rows", "3"), LabelledLine("", ""), *labelled("output", ["x", "y"])]
    assert labelled_list(lines) == "  rows      3\n\n  output    x\n            y"
    assert next_lines(["x", "y"]) == "next  x\n      y"
