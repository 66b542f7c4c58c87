"""The jobs that come with batchchat."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.job import load_job

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_job_loads(path: Path) -> None:
    """Each key in it is one, and its input is there: a person may start it as it stands."""
    job = load_job(path, environ={"DEEPINFRA_TOKEN": "a-key"})
    assert all(Path(one).is_file() for one in job.input.paths)


def test_the_night_has_its_bounds() -> None:
    """The overnight job is the one with a cap, an hour and a price."""
    job = load_job(JOBS / "overnight.yaml", environ={"DEEPINFRA_TOKEN": "a-key"})
    assert job.budget.max_cost == Decimal("5.00")
    assert job.budget.stop_at is not None
    assert job.budget.stop_at.written == "07:30"
    assert job.price is not None
