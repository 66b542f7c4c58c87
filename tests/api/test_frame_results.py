"""Which row of a run belongs to which row of the frame."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.api.frame_kinds import frame_like
from batchchat.api.frame_results import join_results

LABELS = st.one_of(st.integers(0, 3), st.text(max_size=2), st.none())


@settings(max_examples=40)
@given(st.lists(st.tuples(LABELS, LABELS), max_size=8), st.data())
def test_rows_are_joined_by_their_position(labels: list[tuple[object, object]], data: st.DataObject) -> None:
    """Whatever the index is, in whatever order the run's rows are, and whichever are missing."""
    index = pd.MultiIndex.from_tuples(labels, names=["a", "b"]) if labels else pd.RangeIndex(0)
    frame = pd.DataFrame({"own": range(len(labels))}, index=index)
    at = data.draw(st.lists(st.integers(0, len(labels) - 1), max_size=20) if labels else st.just([]))
    results = pa.table({"answer": pa.array([f"{row}-{number}" for number, row in enumerate(at)], pa.string())})
    joined = join_results(results, pa.chunked_array([pa.array(at, pa.int64())]), len(labels))
    result = frame_like(frame).joined(joined.results, joined.positions)
    expected: list[tuple[int, str | None]] = []
    for row in range(len(labels)):
        answers = [f"{row}-{number}" for number, of in enumerate(at) if of == row]
        expected += [(row, answer) for answer in answers] or [(row, None)]
    assert [(row, None if pd.isna(answer) else answer) for row, answer in result.itertuples(index=False)] == expected
    assert result.index.equals(index.take([row for row, _ in expected]))
    assert result.index.names == index.names
    assert result.columns.tolist() == ["own", "answer"]
