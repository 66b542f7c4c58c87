"""The input columns that rows take along: their order and their types."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.arrow.widening import Kind, StructOf
from batchchat.core.record import RowRecord
from batchchat.store.passthrough_columns import PassthroughColumns, schema_text, types_of
from tests.store.given import answered, failed, invalid, run_record


def columns_of(*journal: Any) -> dict[str, Any]:
    passthrough = PassthroughColumns()
    for at, record in enumerate(journal):
        if record["kind"] == "run":
            passthrough.declare(at, record["columns"])
        elif values := record.get("carried"):
            passthrough.add(values, record["ordinal"])
    return passthrough.columns()


@given(st.permutations(range(5)))
def test_json_columns_stand_in_the_order_of_the_input(order: list[int]) -> None:
    """In whatever order rows end, columns stand as one who reads the input meets them."""
    carried: list[dict[str, Any]] = [{"b": 1}, {"c": 1, "a": 1}, {"a": 1, "d": 1}, {}, {"e": 1, "b": 1}]
    rows = [answered(str(n), ordinal=n, carried=carried[n]) for n in order]
    assert list(columns_of(run_record(), *rows)) == ["b", "c", "a", "d", "e"]


def row(id_: str, **carried: Any) -> RowRecord:
    return answered(id_, carried=carried)


def test_json_columns_are_widened_over_all_rows() -> None:
    """Null gives way to bool, int to float, an object stays one; failed and invalid rows count too."""
    assert columns_of(
        run_record(),
        row("a", n=None, b=True, i=1, f=1, m=1, o=None),
        failed("b", carried={"n": None, "b": None, "i": 2, "f": 0.5, "m": "x"}),
        invalid("c", carried={"later": {"a": 1}}),
    ) == {"n": Kind.NULL, "b": Kind.BOOL, "i": Kind.INT, "f": Kind.FLOAT, "m": Kind.TEXT, "o": Kind.NULL} | {
        "later": StructOf({"a": Kind.INT})
    }


DATES = {"day": pa.date32(), "list": pa.list_(pa.int8())}


def test_declared_columns_keep_type_and_order() -> None:
    """A Parquet input's types hold though no row has a value, or there is no row; they come first."""
    run = run_record(columns=schema_text(DATES))
    assert list(columns_of(run).items()) == list(DATES.items())
    assert list(columns_of(run, row("a", x=1, list=[1], day=3)).items()) == [*DATES.items(), ("x", Kind.INT)]


def test_a_column_that_runs_declare_apart_is_widened() -> None:
    """Where two runs' types differ, the values decide."""
    runs = [run_record(columns=schema_text({"n": kind})) for kind in (pa.int32(), pa.float32())]
    assert columns_of(runs[0], row("a", n=1), runs[1], row("b", n=1.5)) == {"n": Kind.FLOAT}
    assert columns_of(runs[0], runs[1]) == {}


def test_a_declared_column_outlives_a_run_that_leaves_it_out() -> None:
    """A type holds while no row of an undeclaring run has the column, and is widened once one has."""
    run, bare_run = run_record(columns=schema_text(DATES)), run_record()
    assert columns_of(run, row("a", day=3), bare_run, row("b", x=1))["day"] == pa.date32()
    assert columns_of(run, row("a", day=3), bare_run, row("b", day="Monday"))["day"] is Kind.TEXT


@pytest.mark.parametrize("types", [{}, DATES])
def test_a_schema_survives_as_text(types: dict[str, pa.DataType]) -> None:
    """The types of a run record come back as they were."""
    assert types_of(schema_text(types)) == types
