"""A run inside the test's own process, where clocks, bounds and disks can be replaced."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from batchchat.cli import main
from tests.acceptance.job import Ended, Job

__all__ = ["run_inside"]


def run_inside(job: Job, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ended:
    """`cd folder; batchchat run job.yaml` with `arguments`."""
    with monkeypatch.context() as patch, _gc_as_it_was():
        patch.chdir(job.folder)
        result = CliRunner(env=job.environ()).invoke(main, job.command(*arguments)[3:])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return Ended(result.exit_code, result.stdout, result.stderr)


@contextmanager
def _gc_as_it_was() -> Iterator[None]:
    """A run sets the collector to its own needs."""
    before = gc.get_threshold()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
