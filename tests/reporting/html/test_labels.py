"""Several outputs are labelled by what differs."""

from __future__ import annotations

import pytest

from batchchat.core.totals import OffRowCosts
from batchchat.reporting.html.labels import labels_of
from batchchat.reporting.tables import ReportInput
from batchchat.results.group_stats import GroupStats
from batchchat.text.run_sentence import Standing

A, B = "microsoft/WizardLM-2-8x22B", "meta/Llama-3-70B"


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        ([("a.parquet", "chef", A), ("b.parquet", "chef", B)], ["WizardLM-2-8x22B", "Llama-3-70B"]),
        ([("a.parquet", "chef", "x/m"), ("b.parquet", "chef", "y/m")], ["x/m", "y/m"]),
        ([("a.parquet", "short", A), ("b.parquet", "long", A)], ["short", "long"]),
        ([("out/1/a.parquet", "chef", A), ("out/2/a.parquet", "chef", A)], ["1/a.parquet", "2/a.parquet"]),
        ([("a.parquet", None, None), ("out/a.parquet", None, None)], ["a.parquet", "out/a.parquet"]),
        ([("/x/a.parquet", "chef", A), ("b.parquet", "chef", A)], ["/x/a.parquet", "b.parquet"]),
        ([("a.parquet", "chef", A), ("a.parquet", "chef", A)], ["a.parquet", "a.parquet"]),
    ],
)
def test_labels(outputs: list[tuple[str, str | None, str | None]], labels: list[str]) -> None:
    """Models first, then jobs, then paths."""
    inputs = [
        ReportInput(path, name, model, "host", GroupStats(), OffRowCosts(), Standing()) for path, name, model in outputs
    ]
    assert labels_of(inputs) == labels
