"""What the acceptance tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.job import Job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job in a folder of its own."""
    return Job(tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole runs take minutes: they run only where `-m` names them."""
    if "soak" in str(config.getoption("-m")):
        return
    skip = pytest.mark.skip(reason="a long run: pytest -m soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)
