from __future__ import annotations

import pytest

from tests.job.given import faults


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: b: c", 1, "a `:` is not allowed here; quote text that contains `: `"),
        ("a: 1\nb\nc: 1", 2, "a key has no `:` after it"),
        ("a: 1\n\tb: 1", 2, "found a tab; indent YAML with spaces"),
        ("a: @x", 1, "a value begins with a character that is only allowed in quotes"),
        ('a: 1\nb: "x\nc: 1\n', 2, "a quote opens here and never closes"),
        ('a: "\\q"', 1, "a `\\` in double quotes has no meaning here; single quotes keep it"),
        ("a: [1,", 1, "a value is missing here, or a bracket is not closed"),
        ("a: {b: 1\nc: 2", 1, "a `{` opens here, and after one of its values neither `,` nor `}` follows"),
        ("a: [b\nc: 2]]", 1, "a `[` opens here, and after one of its values neither `,` nor `]` follows"),
        ("a:\n  b: 1\n c: 2", 3, "this line does not fit the indentation of the lines above"),
        ("a: *sk", 1, "an alias (`*name`) has no anchor (`&name`) before it; quote text that begins with `*`"),
        ("a: !x!y 1", 1, "a tag (`!...`) is not allowed here; quote text that begins with `!`"),
        ("a: 1\n---\nb: 2", 2, "a second document begins here (`---`); a job file holds one"),
        ("%YAML 2.0\n---\na: 1", 1, "its `%YAML` line asks for a version that is not 1.x"),
        (
            "a: {b: ${N:-3}}",
            1,
            (
                "inside `{}` and `[]` the braces of ${NAME} are taken for YAML's own;"
                " put it in quotes, or write one value a line without brackets"
            ),
        ),
        ("%YAML x\n---\na: 1", 1, "this line can't be read"),
    ],
)
def test_words(text: str, line: int, sentence: str) -> None:
    """Text that is not YAML is reported with its line, in our words, without quoting it."""
    assert faults(text) == [f"job.yaml:{line}: this is not YAML: {sentence}."]
