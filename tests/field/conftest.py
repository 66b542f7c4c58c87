"""What the field tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """A job in a folder of its own; processes that a failed test left running are ended."""
    made = Job(tmp_path)
    yield made
    made.kill()
