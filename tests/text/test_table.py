"""Tables in plain text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.text.table import table

CELLS = st.text(st.characters(categories=["L", "N"]), max_size=6)


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Names are left-aligned, figures right-aligned, nothing trails."""
    rows = [("model", "cost", "note"), ("a", "$1.20", "")]
    assert table(rows) == "  model   cost  note\n  a      $1.20"
    assert table(rows, left={0, 2}, indent=0) == "model   cost  note\na      $1.20"


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=5)))
def test_no_cell_is_lost(rows: list[tuple[str, ...]]) -> None:
    """There is a line for each row, with its cells in their order."""
    lines = table(rows).split("\n")
    assert [line.split() for line in lines] == [[cell for cell in row if cell] for row in rows]
