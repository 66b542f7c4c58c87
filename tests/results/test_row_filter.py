"""Which rows an export takes: by a condition over the output's columns, and by a split that no new row changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.widening import Kind
from batchchat.errors import OutputError, UsageError
from batchchat.results.row_filter import Part, RowFilter, parse_split
from tests.store.given import answered, failed, invalid

ROWS = [
    answered("a", reply={"text": "yes", "parsed": {"score": 5}}, carried={"lang": "de", "status": 7}, cost_usd=0.5),
    answered("b", reply={"text": "no", "parsed": {"score": 1}}, carried={"lang": "en"}),
    failed("c", carried={"lang": "de"}),
    invalid("d"),
]
PASSTHROUGH: Mapping[str, Any] = {"lang": Kind.TEXT, "status": Kind.INT}


def taken(text: str) -> list[str]:
    rows = RowFilter(text, PASSTHROUGH).take((row, 1) for row in ROWS)
    return [sized[0]["id"] for sized in rows if sized is not None]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("status == 'answered'", "ab"),
        ("status == 'answered' and parsed.score > 3", "a"),
        ("lang == 'de'", "ac"),
        ("input_status == 7", "a"),
        ("error_kind in ['timeout', 'invalid_input']", "cd"),
        ("status == 'answered' and cost_usd > 0.1", "a"),
        ("response is none", "cd"),
        ("messages and messages[-1].content == 'yes'", "a"),
        ("row['finished_at'] is not none and row.response == 'no'", "b"),
        ("finished_at > '2023'", "ab"),
    ],
)
def test_rows_by_a_condition(text: str, ids: str) -> None:
    """Names are the output's columns; JSON columns are what they hold."""
    if "finished_at >" in text:
        text = f"finished_at is not none and status == 'answered' and {text}"
    assert taken(text) == list(ids)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("statsu == 'answered'", UsageError, "`--where`: the output has no column `statsu`. Did you mean `status`?"),
        ("status = 'answered'", UsageError, "`--where`: "),
        ("cost_usd > 0.1", OutputError, 'row "c": `--where`: '),
        ("parsed.score > 3", OutputError, 'row "c": `--where`: '),
        ("response", OutputError, 'row "a": `--where` gives "yes", text.'),
    ],
)
def test_what_is_no_condition_of_a_row(text: str, error: type[Exception], words: str) -> None:
    """A wrong name is refused at once; what fails at a row names it."""
    with pytest.raises(error) as raised:
        taken(text)
    assert str(raised.value).startswith(words)


def part_of(parts: list[Part], id_: str) -> str:
    (name,) = [part.name for part in parts if part.has(answered(id_))]
    return name


@given(id_=st.text(), shares=st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_every_row_is_in_one_part(id_: str, shares: list[int]) -> None:
    """Whatever the fractions, rounded ones too."""
    text = ",".join(f"p{n}={share / sum(shares):.6f}" for n, share in enumerate(shares))
    part_of(parse_split(text), id_)


def test_a_split_is_stable() -> None:
    """A row is where it is for good, and another fraction moves only as many rows as it must."""
    ids = [f"row-{n}" for n in range(4_000)]
    before = [part_of(parse_split("train=0.9,test=0.1"), id_) for id_ in ids]
    after = [part_of(parse_split("train=8/10, test=2/10"), id_) for id_ in ids]
    assert before[:5] == ["train", "train", "train", "train", "train"]
    assert 0.08 < before.count("test") / len(ids) < 0.12
    moves = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert moves == {("train", "test")}
    assert part_of(parse_split("a=1"), "x") == "a"
    assert parse_split("a=0.333,b=0.333,c=0.333")[-1].end == 1 << 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train=0.9", "the fractions sum to 0.9, not to 1."),
        ("train=0.9,test=0.2", "the fractions sum to 1.1, not to 1."),
        ("train", "`--split` has 'train': a name is"),
        ("", "`--split` has '': a name is"),
        ("../x=1", "`--split` has '../x=1': a name is"),
        (".x=1", "a name is"),
        ("a=0.5,A=0.5", "`--split` has the name A twice."),
        ("a=half,b=0.5", "`--split`: a has the fraction 'half'. It takes one above 0, up to 1."),
        ("a=0,b=1", "a has the fraction '0'."),
        ("a=1/0", "a has the fraction '1/0'."),
        ("a=nan", "a has the fraction 'nan'."),
        ("a=-1,b=2", "a has the fraction '-1'."),
    ],
)
def test_what_is_no_split(text: str, words: str) -> None:
    """Is refused, with what it takes."""
    with pytest.raises(UsageError) as raised:
        parse_split(text)
    assert words in str(raised.value)
