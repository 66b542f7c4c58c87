"""What the dispatcher takes its work from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchchat.core.attempt import MaxUsage, Request
from batchchat.core.conversation import Key, Row
from batchchat.core.unanswered_rows import UnansweredRows
from batchchat.dispatch.work import Work
from batchchat.execution import feed as feed_module
from batchchat.execution.context_check import ContextCheck
from batchchat.execution.feed import Feed
from batchchat.execution.input_total import InputTotal
from batchchat.execution.tasks import ResumeRules, Scripts, tasks
from batchchat.execution.unsendable import UnsendableRows
from batchchat.script.single import SingleMessage
from batchchat.sources import Source
from batchchat.store.ledger import Ledger
from batchchat.tokens.context_window import ContextWindow
from batchchat.tokens.for_model import tokenizer_for
from tests.execution.opened import opened


def script(row: Row) -> SingleMessage:
    body = b" " * (5_000 if row.key.id == "long" else 10)
    return SingleMessage(row, Request(row.key, 0, "microsoft/WizardLM-2-8x22B", row.messages, body, 1, MaxUsage()), {})


def feed(source: Source, ledger: Ledger, keep: Callable[[Any], object], limit: int | None = None) -> Feed:
    context = ContextWindow(lambda _model: 1_000, tokenizer_for)
    check = ContextCheck(context)
    rows = tasks(source, Scripts(lambda row, _: script(row)), ledger.index, ResumeRules())
    return Feed(rows, ledger, keep, InputTotal(source), limit=limit, unsendable=UnsendableRows(check))


def passing(source: Source, ledger: Ledger, answered: Sequence[int]) -> Feed:
    """The feed of a run that knows the rows with the ordinals `answered` to be so."""
    unanswered = UnansweredRows(answered, 1)
    rows = tasks(source, Scripts(lambda row, _: script(row)), ledger.index, ResumeRules(), unanswered=unanswered)
    unsendable = UnsendableRows(ContextCheck(ContextWindow(lambda _model: None, tokenizer_for)))
    total = InputTotal(source)
    return Feed(rows, ledger, lambda _: None, total, unsendable=unsendable, unanswered=unanswered)


def taken(source: Feed) -> list[str]:
    """The ids of all that it gives."""

    async def main() -> list[str]:
        ids = []
        while (work := await source.take()) is not None:
            ids.append(work.script.row.key.id)
        return ids

    return asyncio.run(main())


ROWS = [{"id": id_, "prompt": "Hi"} for id_ in "abc"]


def test_bad_rows_are_recorded_on_the_way(tmp_path: Path) -> None:
    """They are given to nobody, and the first of them is remembered with its place; at the end the total is known."""
    records: list[Any] = []
    rows = feed(opened(tmp_path, ROWS[0], "{", ROWS[1]), Ledger(tmp_path), records.append)
    assert taken(rows) == ["a", "b"]
    assert [record["status"] for record in records] == ["invalid"]
    assert rows.first_bad is not None
    assert rows.first_bad.startswith("in.jsonl:2: ")
    assert (rows.total(), rows.exhausted, rows.taken, rows.good_rows) == ((3, False), True, 2, 2)


def test_a_limit_bounds_what_is_sent(tmp_path: Path) -> None:
    """The rest is not even read; its end is an end, but not the input's."""
    rows = feed(opened(tmp_path, *ROWS), Ledger(tmp_path), lambda _record: None, limit=2)
    assert taken(rows) == ["a", "b"]
    assert (rows.exhausted, rows.rows_read) == (False, 2)
    assert asyncio.run(rows.at_end())


def test_a_row_that_cannot_fit_its_context_is_recorded_as_failed(tmp_path: Path) -> None:
    """By an exact count alone, with the figures; what it had cost before is carried into that record."""
    pytest.importorskip("sentencepiece")
    ledger, records = Ledger(tmp_path), list[Any]()
    step = {"kind": "step", "id": "long", "variant": "", "sample": 0, "attempts": 1, "possibly_billed": 0}
    ledger.apply(0, {**step, "cost_usd": 0.5, "cost_source": "reported", "usage": None})
    rows = feed(opened(tmp_path, {"id": "long", "prompt": "word " * 2_000}, ROWS[0]), ledger, records.append)
    assert taken(rows) == ["a"]
    assert [(record["status"], record["error_kind"], record["cost_usd"]) for record in records] == [
        ("failed", "context_length", 0.5)
    ]
    assert "do not fit the context of 1,000 tokens" in records[0]["error"]
    assert rows.taken == 2


def test_what_a_row_had_spent_goes_with_it(tmp_path: Path) -> None:
    """An attempt of an earlier run that a kill left without an end counts to the row."""
    ledger = Ledger(tmp_path)
    step = {"kind": "step", "id": "a", "variant": "", "sample": 0, "attempts": 2, "possibly_billed": 1}
    ledger.apply(0, {**step, "cost_usd": 0.25, "cost_source": "reported", "usage": None})
    rows = feed(opened(tmp_path, *ROWS), ledger, lambda _record: None)
    work = asyncio.run(rows.take())
    assert work is not None
    assert (work.spend.attempts, work.spend.possibly_billed, work.spend.cost_usd) == (2, 1, Decimal("0.25"))


def test_an_input_that_breaks_is_no_end(tmp_path: Path) -> None:
    """Who takes next is told None, so that workers end; but the input's end was not seen."""
    source = opened(tmp_path, *ROWS)

    def broken(row: Row) -> SingleMessage:
        raise RuntimeError(row.key.id)

    rows = Feed(
        tasks(source, Scripts(lambda row, _: broken(row)), Ledger(tmp_path).index, ResumeRules()),
        Ledger(tmp_path),
        lambda _record: None,
        InputTotal(source),
        unsendable=UnsendableRows(ContextCheck(ContextWindow(lambda _model: None, tokenizer_for))),
    )
    with pytest.raises(RuntimeError, match="a"):
        asyncio.run(rows.take())
    assert asyncio.run(rows.take()) is None
    assert not rows.exhausted


COUNT = 5_000


def test_rows_that_are_passed_over_hold_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop runs all the while, and where the run is stopped meanwhile nothing more is given out."""
    monkeypatch.setattr(feed_module, "_TURN_S", 0.002)  # a fast machine passes over all of them in ten times that
    source, ledger = opened(tmp_path, *({"id": f"{n}", "prompt": "Hi"} for n in range(COUNT))), Ledger(tmp_path)
    for number in range(COUNT - 1):
        ledger.index.finish(ledger.index.add(Key(f"{number}")), "answered", 1, 0)
    rows = passing(source, ledger, range(COUNT - 1))

    async def main() -> tuple[list[Work | None], int]:
        loop = asyncio.get_running_loop()
        loop.call_later(feed_module._TURN_S / 2, stopped.set)
        return [*await asyncio.gather(*(rows.take(stopped.is_set) for _ in range(3)))], rows.rows_read

    stopped = asyncio.Event()
    works, rows_read = asyncio.run(main())
    assert works == [None] * 3
    assert 0 < rows_read < COUNT - 1
    assert not rows.exhausted
    assert taken(rows) == [f"{COUNT - 1}"]
    assert (rows.rows_read, rows.good_rows, rows.total()) == (COUNT, COUNT, (COUNT, False))


def test_rows_are_counted_where_they_are_passed_over(tmp_path: Path) -> None:
    """How many an input has is estimated by those up to where it was read, not by all that are known."""
    ids = [f"{number:06}" for number in range(COUNT)]
    source = opened(tmp_path, *({"id": id_, "prompt": "x" * 1000} for id_ in ids))
    assert source.rows_total is None
    rows = passing(source, Ledger(tmp_path), range(1, COUNT))
    assert asyncio.run(rows.take()) is not None
    total, is_estimate = rows.total()
    assert is_estimate
    assert total is not None
    assert total < 2 * COUNT
