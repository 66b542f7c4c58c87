"""What the acceptance tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job in a folder of its own."""
    return Job(tmp_path)
