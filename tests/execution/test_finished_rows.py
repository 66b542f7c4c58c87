"""The rows that a run finished, by the records that were synced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchchat.core.events import Event, FirstFailure
from batchchat.core.record import RowRecord
from batchchat.execution.finished_rows import READABLE_ROWS, FinishedRows
from batchchat.store.ledger import Ledger
from tests.store.given import answered, failed, invalid, write_segment


def journaled(folder: Path, *rows: RowRecord) -> list[tuple[int, Any]]:
    """The records with their locations, as a journal in `folder` gives them once they are synced."""
    return [*zip(write_segment(folder, 0, rows), map(dict, rows), strict=True)]


def test_a_row_that_is_sent_again_is_done_when_it_is_finished_once_more(tmp_path: Path) -> None:
    """Until then its earlier record stands in the output, and it is not done; a new row is none of those."""
    before, other, again = journaled(tmp_path, failed("a"), answered("b"), answered("a"))
    ledger = Ledger(tmp_path)
    ledger.apply(*before)
    finished = FinishedRows(ledger, 1, lambda _event: None)
    assert (finished.done, finished.done_before, finished.outdated) == (0, 0, 1)
    finished.apply(*other)
    assert (finished.done, finished.outdated, finished.count) == (1, 1, 1)
    finished.apply(*again)
    assert (finished.done, finished.outdated, finished.count) == (2, 0, 2)
    assert finished.totals.answered == 2


def test_what_is_no_row_of_this_run_is_applied_and_not_counted(tmp_path: Path) -> None:
    """Bad rows and holds stand in the ledger; nothing was sent for them."""
    ledger = Ledger(tmp_path)
    finished = FinishedRows(ledger, 0, lambda _event: None)
    finished.apply(0, dict(invalid("a")))
    finished.apply(1, {"kind": "hold", "requests": 3, "usd": None})
    assert (finished.count, finished.totals.invalid) == (0, 1)


def test_the_first_failure_of_each_kind_is_told(tmp_path: Path) -> None:
    """With its row and words; the second is a figure like any other."""
    events = list[Event]()
    finished = FinishedRows(Ledger(tmp_path), 0, events.append)
    for number, kind in enumerate(["timeout", "timeout", "context_length"]):
        finished.apply(number, dict(failed(str(number), error_kind=kind)))
    assert events == [
        FirstFailure("timeout", "0", "no answer in 600 s"),
        FirstFailure("context_length", "2", "no answer in 600 s"),
    ]


def test_only_the_first_rows_are_held(tmp_path: Path) -> None:
    """One more than are shown, which says that there are more; tokens are counted of all."""
    finished = FinishedRows(Ledger(tmp_path), 0, lambda _event: None)
    for number in range(30):
        finished.apply(number, dict(answered(str(number))))
    assert len(finished.rows) == READABLE_ROWS + 1
    assert (finished.count, finished.completion_tokens) == (30, 30 * 7)
    assert finished.typical_latency_s is not None


def test_of_a_huge_reply_the_beginning_is_held(tmp_path: Path) -> None:
    """As much as may be printed: the rest is in the journal, and twenty rows of 60 MB are not kept in memory."""
    huge = "x" * (1 << 20)
    row: dict[str, Any] = {
        **answered("a", messages=[{"role": "user", "content": huge}], reply={"text": huge}, raw=huge)
    }
    finished = FinishedRows(Ledger(tmp_path), 0, lambda _event: None)
    finished.apply(0, row)
    (held,) = finished.rows
    assert len(str(held)) < 10_000
    assert held["reply"]["text"].startswith("xxx")
    assert row["reply"]["text"] == huge
