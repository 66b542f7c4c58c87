"""The names by which a job knows an output's columns are those that the output has."""

from __future__ import annotations

from batchchat.core.output_columns import CARRIED, TECHNICAL
from batchchat.store.columns import COLUMNS


def test_each_column_is_carried_or_technical() -> None:
    """A new column is put into one of the two: whether a job that reads the output copies it to its own."""
    names = {column.name for column in COLUMNS}
    assert names <= CARRIED | TECHNICAL
    assert not CARRIED & TECHNICAL
