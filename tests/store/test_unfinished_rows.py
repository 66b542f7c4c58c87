"""What the journal's steps say of a row that is not finished: what it cost, and the replies it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchchat.core.conversation import Key
from batchchat.core.row_history import NO_HISTORY, AcceptedReply
from batchchat.store.ledger import Ledger
from tests.store.given import answered, failed

KEY = Key("a")
FP, OTHER_FP = 0xFF, 0xEE


def step(number: int, why: str = "accepted", *, fp: int = FP, **fields: Any) -> dict[str, Any]:
    record = {"kind": "step", "id": "a", "variant": "", "sample": 0, "fp": f"{fp:016x}", "step": number}
    reply = {"reply": {"text": f"{number}"}, "usage": {"total_tokens": number}} if why == "accepted" else {}
    return {**record, "attempts": 1, "possibly_billed": 0, "cost_usd": None, "why": why, **reply, **fields}


def replies(folder: Path, *records: Any, identity: int = FP) -> list[str]:
    """The texts of the replies that the row goes on from."""
    ledger = Ledger(folder)
    for record in records:
        # Rows are read back from disk; here from what was given.
        ledger.apply(0, record)
    ledger.end_session()
    ledger.read = lambda entry: next(r for r in reversed(records) if r["kind"] == "row")  # type: ignore[method-assign]
    history = ledger.unfinished.history(KEY, identity)
    return [reply.reply["text"] for reply in ledger.accepted_replies(KEY, identity, history)]


def has(*texts: str, **fields: Any) -> Any:
    """A failed row with these replies."""
    return failed("a", turns=[{"reply": {"text": text}, "usage": None} for text in texts], **fields)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([step(0), step(1)], ["0", "1"]),
        ([step(0), step(1, "timeout"), step(1)], ["0", "1"]),
        ([step(0), step(1), step(0, reply={"text": "again"})], ["again"]),
        ([step(1)], []),
        ([step(0), step(2)], ["0"]),
        ([step(0, fp=OTHER_FP)], []),
        ([step(0), step(0, "timeout", fp=OTHER_FP)], []),
        ([step(0), answered("a")], []),
        ([has("x", "y")], ["x", "y"]),
        ([has("x"), step(1)], ["x", "1"]),
        ([has("x", "y"), step(0)], ["0"]),
        ([step(0), has("x")], ["x"]),
        ([has("x", fp=f"{OTHER_FP:016x}")], []),
        ([has("x", fp=f"{OTHER_FP:016x}"), step(0)], ["0"]),
        ([failed("a")], []),
    ],
)
def test_the_replies_that_a_row_goes_on_from(tmp_path: Path, records: list[Any], expected: list[str]) -> None:
    """Those of its failed record and its steps since, in order and without a gap, to the same script alone."""
    assert replies(tmp_path, *records) == expected


def test_an_accepted_request_is_no_failure(tmp_path: Path) -> None:
    """It counts against no limit of the row, and its reply comes with its usage."""
    ledger = Ledger(tmp_path)
    for record in (step(0, at=5.5), step(1, "sent", attempts=0), step(1, "timeout", error="no answer")):
        ledger.apply(0, record)
    history = ledger.unfinished.history(KEY, FP)
    assert history.billed == {"timeout": 1}
    assert history.accepted == {0: AcceptedReply({"text": "0"}, {"total_tokens": 0}, 5.5)}
    assert ledger.unfinished.history(KEY, OTHER_FP) == NO_HISTORY


def test_a_killed_writer_had_sent_what_it_noted(tmp_path: Path) -> None:
    """What it was sending counts as an attempt once another replaces it; what others are sending does not."""
    ledger = Ledger(tmp_path)
    note = step(0, "sent", attempts=0, writer=1)
    ledger.apply(0, note)
    ledger.apply(0, {**note, "id": "b", "writer": 2})
    ledger.apply(0, {"kind": "hold", "requests": 0, "usd": None, "writer": 3, "replaces": 1})
    ledger.apply(0, step(0, "timeout", possibly_billed=1))
    ledger.apply(0, {**step(0, "timeout", possibly_billed=1), "id": "b"})
    ledger.end_session()
    billed = [sum(ledger.unfinished.history(Key(id_), FP).billed.values()) for id_ in ("a", "b")]
    assert billed == [2, 1]
