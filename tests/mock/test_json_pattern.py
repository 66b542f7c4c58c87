from __future__ import annotations

import re
from random import Random

import pytest

from batchchat.mock.json_pattern import write_matching


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "abc",
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        r"^\+?\d{1,3}[ -]?\d{6,9}$",
        r"^(foo|bar)?baz{2}$",
        r"^[^abc\d]{3,}$",
        r"a.c*?\.",
        r"^(\d{4})-(0[1-9]|1[0-2])$",
        r"(?P<year>\d)\sx\tz",
        r"[]a]b[a-]",
        r"a{,3}b",
    ],
)
def test_the_text_matches(pattern: str) -> None:
    """What is written for a simple pattern matches it, whatever is drawn."""
    for seed in range(50):
        text = write_matching(pattern, Random(seed))
        assert text is not None
        assert re.search(pattern, text)


@pytest.mark.parametrize(
    "pattern", ["(?=x)x", r"\bfoo\b", r"(a)\1", r"\p{L}", "[", "(", "a)", "*a", "[^a-z0-9]", "a{9999}{9999}"]
)
def test_others_are_declined(pattern: str) -> None:
    """A pattern that is beyond the writer, or is none, gives None."""
    assert write_matching(pattern, Random(0)) is None
