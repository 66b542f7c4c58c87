"""The jobs that come with batchchat."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.job import load_job

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_job_loads(path: Path) -> None:
    """Each sample job loads, and its input exists or is another's output: it can be run unchanged."""
    job = load_job(path, environ={"DEEPINFRA_TOKEN": "a-key"})
    outputs = {
        load_job(other, environ={"DEEPINFRA_TOKEN": "a-key"}).output.path.resolve() for other in JOBS.glob("*.yaml")
    }
    inputs = [Path(input_path).resolve() for input_path in job.input.paths]
    assert all(input_path.is_file() or input_path in outputs for input_path in inputs)


def test_the_night_has_its_bounds() -> None:
    """The overnight job has a cost cap, an end time and a price."""
    job = load_job(JOBS / "overnight.yaml", environ={"DEEPINFRA_TOKEN": "a-key"})
    assert job.budget.max_cost == Decimal("5.00")
    assert job.budget.stop_at is not None
    assert job.budget.stop_at.written == "07:30"
    assert job.price is not None
