"""Columns of pandas and Polars, of all their types, as a run gets them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from batchchat import UsageError
from batchchat.api.frame_file import ColumnUse, write_frame
from batchchat.api.frame_kinds import frame_like
from batchchat.core.output_columns import FRAME_ROW
from tests.api.test_frame import call, echo


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache of these tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DEEPINFRA_TOKEN", "key-of-the-tests")


CELLS: dict[str, tuple[Any, str]] = {
    "whole": (pd.array([7], "Int64"), "7"),
    "part": ([0.5], "0.5"),
    "flag": (pd.array([True], "boolean"), "True"),
    "kind": (pd.Categorical(["x"]), "x"),
    "code": (pd.Categorical([3]), "3"),
    "when": (pd.to_datetime(["2026-01-02T03:04:05Z"]), "2026-01-02T03:04:05"),
    "day": (pd.Series([dt.date(2026, 1, 2)]), "2026-01-02"),
    "price": (pd.Series([Decimal("1.50")]), "1.50"),
    "nested": (pd.Series([{"a": 1}]), "{'a': 1}"),
    "items": (pd.Series([["p", "q"]]), "['p', 'q']"),
    "bytes": (pd.Series([b"raw"]), "raw"),
    "span": (pd.to_timedelta([90], "s"), "PT90S"),
    "array": (pd.Series([np.array([1, 2])]), "[1, 2]"),
}


def test_cells_as_a_template_has_them() -> None:
    """Each type as a person writes it."""
    frame = pd.DataFrame({name: values for name, (values, _) in CELLS.items()})
    with echo() as server:
        call(frame, server, template="|".join(f"{{{{ {name} }}}}" for name in CELLS))
        cells = dict(zip(CELLS, server.asked[0].text.split("|"), strict=True))
    assert {name: cell for name, cell in cells.items() if not cell.startswith(CELLS[name][1])} == {}


REFUSED = {
    "period": pd.period_range("2026-01", periods=2, freq="M"),
    "interval": pd.interval_range(0, 2),
    "complex": [1j, 2j],
    "object": pd.Series([object(), object()]),
    "sparse": pd.arrays.SparseArray([1.0, 2.0]),
    "big": pd.Series([1 << 70, 1]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_run_cannot_hold(name: str) -> None:
    """Refused by its name where it is needed; elsewhere it stays as it is."""
    frame = pd.DataFrame({"text": ["a", "b"], name: REFUSED[name]})
    with echo() as server:
        with pytest.raises(UsageError, match=rf"column `{name}` can't be sent: .*\.astype\(str\)"):
            call(frame, server, template=f"{{{{ {name} }}}}")
        assert server.asked == []
        result = call(frame.iloc[:1], server)
    pd.testing.assert_frame_equal(result[["text", name]], frame.iloc[:1])


@pytest.mark.parametrize(
    "columns",
    [
        pd.Index([0, "text"]),
        pd.MultiIndex.from_tuples([("a", 0), ("b", 1)], names=["x", "y"]),
        pd.Index(["n", "text"], name="columns"),
    ],
)
def test_names_that_are_no_text(columns: pd.Index[Any]) -> None:
    """The frame's own columns keep their labels, and the index of the columns its levels and names."""
    frame = pd.DataFrame([[1, "a"], [2, "b"]], columns=columns)
    with echo() as server:
        result = call(frame, server, prompt=columns[1])
    pd.testing.assert_frame_equal(result.iloc[:, :2], frame, check_column_type=False)
    assert result.columns.names == columns.names
    label = "response" if columns.nlevels == 1 else ("response", "")
    assert result[label].tolist() == ["re: a", "re: b"]


@pytest.mark.parametrize("library", [pd, pl])
def test_only_what_is_needed_is_written(library: Any, tmp_path: Path) -> None:
    """And the rows' numbers."""
    frame = library.DataFrame({"text": ["a", "b"], "other": [1, 2]})
    use = ColumnUse({"text": "prompt"}, frozenset(), frozenset(), reads_all=False)
    write_frame(frame_like(frame), use, FRAME_ROW, tmp_path / "rows.parquet")
    assert pd.read_parquet(tmp_path / "rows.parquet").to_dict("list") == {"text": ["a", "b"], FRAME_ROW: [0, 1]}
