"""Labelled lists."""

from __future__ import annotations

import pytest

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


SENTENCE = "3 answers ended at the token limit; raise `max_tokens`, then --resend cut-off --keep-changed"


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        ("120", [f"  cut off   {SENTENCE}"]),
        (
            "80",
            [
                "  cut off   3 answers ended at the token limit; raise `max_tokens`, then",
                "            --resend cut-off --keep-changed",
            ],
        ),
        (
            "40",
            [
                "  cut off   3 answers ended at the",
                "            token limit; raise",
                "            `max_tokens`, then --resend",
                "            cut-off --keep-changed",
            ],
        ),
    ],
)
def test_a_long_text_goes_on_in_its_column(monkeypatch: pytest.MonkeyPatch, columns: str, lines: list[str]) -> None:
    """No line is as wide as the terminal; one narrower than 40 columns is taken for one of 40."""
    monkeypatch.setenv("COLUMNS", columns)
    assert labelled_list([LabelledLine("cut off", SENTENCE)]).split("\n") == lines
    if columns == "40":
        monkeypatch.setenv("COLUMNS", "7")
        assert labelled_list([LabelledLine("cut off", SENTENCE)]).split("\n") == lines


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_what_is_pasted_is_never_broken(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Paths and commands stay whole, with their spaces; so does a word that is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", columns)
    path = "/data/my outputs/" + "chef-" * 30 + "x.parquet"
    command = f"batchchat run jobs/chef.yaml --output '{path}'"
    assert labelled_list([LabelledLine("output", f"{path} · 31 MB", pasted=True)]) == f"  output    {path} · 31 MB"
    assert next_lines([command, command]) == f"next  {command}\n      {command}"
    assert labelled_list([LabelledLine("price", f"as in {path[17:]}")]).split("\n")[-1].strip() == path[17:]


def test_the_lines_of_an_example_stay_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is indented goes on with its indent, and two spaces within it stay two."""
    monkeypatch.setenv("COLUMNS", "40")
    lines = [LabelledLine("invalid", "1 row:"), LabelledLine("", "  in.jsonl:6  the line is not JSON")]
    assert labelled_list(lines) == ("  invalid   1 row:\n              in.jsonl:6  the line is\n              not JSON")


def test_a_control_character_is_as_wide_as_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written by others is escaped before its lines are made."""
    monkeypatch.setenv("COLUMNS", "40")
    assert all(len(line) < 40 for line in labelled_list([LabelledLine("why", "\x1b " * 20)]).split("\n"))
