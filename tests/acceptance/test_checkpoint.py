"""A resume with the checkpoint of the run before it does and says what one without it does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from batchchat.sources.source import Source
from tests.acceptance.job import Job, conversation, rows

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
