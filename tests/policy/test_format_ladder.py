"""Which `response_format` rows begin with."""

from __future__ import annotations

from batchchat.core.response_format import ResponseFormat
from batchchat.policy.format_ladder import FormatLadder

SCHEMA, OBJECT, NONE = ResponseFormat


def test_it_goes_down_by_what_is_refused() -> None:
    """Each refusal is news once; another model begins where the job does."""
    ladder = FormatLadder()
    assert ladder.refuse("m", SCHEMA)
    assert not ladder.refuse("m", SCHEMA)  # a request that was in flight
    assert (ladder.present("m"), ladder.present("n")) == (OBJECT, SCHEMA)
    assert ladder.refuse("m", OBJECT)
    assert not ladder.refuse("m", SCHEMA)
    assert ladder.present("m") is NONE


def test_what_was_accepted_is_not_refused_by_a_row() -> None:
    """The words of an error may be about the row alone."""
    ladder = FormatLadder()
    ladder.accept("m", SCHEMA)
    assert not ladder.refuse("m", SCHEMA)
    assert ladder.present("m") is SCHEMA
    assert ladder.refuse("n", SCHEMA)


def test_each_of_several_endpoints_has_its_own() -> None:
    """What all take is the loosest of theirs."""
    ladder = FormatLadder()
    ladder.accept("m", SCHEMA, "new")
    assert ladder.refuse("m", SCHEMA, "old")
    assert not ladder.refuse("m", SCHEMA, "old")
    assert [ladder.present("m", name) for name in ("old", "new", None)] == [OBJECT, SCHEMA, OBJECT]
    assert not ladder.refuse("m", SCHEMA, "new")  # about the row: it was accepted there
    assert ladder.refuse("m", SCHEMA, "third")
    assert ladder.refuse("m", OBJECT, "third")
    assert [ladder.present("m", name) for name in ("old", "third", None)] == [OBJECT, NONE, NONE]
    assert ladder.present("n") is SCHEMA
