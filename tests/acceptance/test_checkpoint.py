"""A resume with the checkpoint of the run before it does and says what one without it does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from batchchat.execution import known_input
from batchchat.sources.row_builder import RowBuilder
from batchchat.sources.source import Source
from tests.acceptance.job import Job, conversation, rows, until

ROWS: list[object] = [*rows(12), {"id": "bad"}, '{"id": "r0003", "messages": [{"role": "user", "content": "again"}]}']


def spoken(job: Job, *args: str) -> tuple[int, str, str]:
    """The exit code and what is said, times taken out."""
    ended = job.run(*args)
    return ended.code, ended.headline, re.sub(r"(?m)^\d\d:\d\d .*$", "", ended.err)


def states(job: Job) -> list[tuple[Any, ...]]:
    """What the output says of each row, without its reply, which the mock makes up, and its times."""
    return [tuple(row.get(name) for name in ("id", "variant", "sample", "status", "topic")) for row in job.table()]


def unread() -> Any:
    """No row of the input may be read."""
    return patch.object(Source, "read", side_effect=AssertionError("the input was read"))


def checkpoint_gone(job: Job) -> None:
    (job.run_folder / "checkpoint").unlink()


def test_a_finished_run_reads_no_input_and_says_the_same(job: Job) -> None:
    """Counts, notes about the input, the exit code: with the checkpoint of the first run as without any."""
    job.write(
        [
            {**row, "tools": [{"type": "function", "function": {"name": "f"}}]} if n == 9 else row
            for n, row in enumerate(rows(12))
        ]
    )
    job.run()
    with unread():
        with_checkpoint = spoken(job)
    checkpoint_gone(job)
    with_pass = spoken(job)
    assert with_checkpoint == with_pass
    assert "`tools`" in with_pass[2]
    with unread():
        assert spoken(job) == with_pass, "the pass has left a checkpoint again"


def test_failed_and_invalid_rows_are_told_as_after_a_pass(job: Job) -> None:
    job.write(ROWS)
    assert job.run().code == 3
    with unread():
        with_checkpoint = spoken(job)
    checkpoint_gone(job)
    assert with_checkpoint == spoken(job)
    assert with_checkpoint[0] == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.write([*rows(11), {"id": "r0011", "messages": conversation("Question 99")}]),
        lambda job: job.write(params={"temperature": 0.5}),
        lambda job: job.write(model="another"),
        lambda job: job.write(samples=2),
        lambda job: job.write(rows(11)),
        lambda job: job.write(rows(13)),
        lambda job: job.write(system="Be brief."),
        lambda job: job.write([{**row, "topic": "x"} for row in rows(12)]),
    ],
)
def test_whatever_was_changed_is_noticed(job: Job, change: Callable[[Job], None]) -> None:
    """A row of the same length and time, a parameter, the model, a sample more, a row less: as without it."""
    job.write(rows(12), resume__changed="keep")
    job.run()
    before = job.input.stat()
    change(job)
    os.utime(job.input, ns=(before.st_atime_ns, before.st_mtime_ns))
    saved = {path: path.read_bytes() for path in job.run_folder.iterdir() if path.is_file()}
    output = job.output.read_bytes()
    with_checkpoint = spoken(job)
    table = states(job)
    for path, content in saved.items():
        path.write_bytes(content)
    job.output.write_bytes(output)
    checkpoint_gone(job)
    assert with_checkpoint == spoken(job)
    assert states(job) == table


@pytest.fixture
def long_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each input is as one that takes long to be read."""
    monkeypatch.setattr(known_input, "_LONG_BYTES", 0)


@pytest.mark.usefixtures("long_input")
@pytest.mark.parametrize("keys", [{}, {"samples": 2}, {"dedupe": False, "params": {"temperature": 0}}])
def test_a_half_finished_run_goes_on_without_a_look_at_all_rows(job: Job, keys: dict[str, Any]) -> None:
    """Answered rows are passed over; failed, duplicate and new ones are what they are after a look."""
    job.write(ROWS, **keys)
    assert job.run("--limit", "7").code == 0
    with patch.object(RowBuilder, "build", autospec=True, side_effect=RowBuilder.build) as build:
        rest = job.run()
    each = int(keys.get("samples", 1))
    built = [call.args[2] for call in build.call_args_list]
    assert built[0] == 1 + 7 // each
    assert f"resume {'28 rows (14 × 2 samples): ' if each > 1 else ''}7 finished before are kept · about" in rest.err
    assert rest.code == 3
    assert [row["status"] for row in job.table()] == ["answered"] * 12 * each + ["invalid"] * 2 * each
    assert "duplicate id" in job.table()[-1]["error"]
    with unread():
        assert job.run().code == 3


@pytest.mark.usefixtures("long_input")
@pytest.mark.parametrize(
    "change",
    [
        lambda job: job.write([*rows(1, 50), *rows(11, 1)]),
        lambda job: job.write(params={"temperature": 0.5}),
        lambda job: job.write(rows(12)[::-1]),
    ],
)
def test_what_was_changed_half_way_is_looked_at_first(job: Job, change: Callable[[Job], None]) -> None:
    """The ordinals of answered rows say nothing of another input, nor the answers of another request."""
    job.write(rows(12), resume__changed="keep")
    job.run("--limit", "7")
    change(job)
    ended = job.run()
    assert "about" not in next(line for line in ended.err.splitlines() if line.startswith("resume"))
    checkpoint_gone(job)
    assert ended.code == job.run().code == 0
    assert len(job.table()) == 12


@pytest.mark.usefixtures("long_input")
def test_a_killed_run_that_went_on_is_gone_on_with(job: Job) -> None:
    """Its records follow the checkpoint of the run before, and name the same input."""
    job.write(rows(60), concurrency=4)
    job.run("--limit", "10")
    running = job.start("--limit", "30")
    until(lambda: job.acknowledged() > 20)
    running.process.kill()
    running.end()
    ended = job.run()
    assert ended.code == 0
    assert [row["id"] for row in job.table()] == [f"r{number:04}" for number in range(60)]
