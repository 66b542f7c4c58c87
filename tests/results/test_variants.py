"""The figures of a matrix's variants: of an output and of a journal, and of what only looks like a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.results.reader import open_results
from batchchat.results.variants import VariantFigures, variant_figures
from batchchat.store.parquet import write_parquet
from tests.store.given import answered, failed

MODELS, SYSTEMS = ("m1", "m2"), ("short", None)


def row_of(id_: str, model: str, system: str | None, *, is_failed: bool = False, **fields: Any) -> RowRecord:
    """A row of a variant, as a run writes it."""
    carried = {"variant_model": model, "variant_system": system, "variant_note": f"of {id_}"}
    variant = f"model={model},system={system}"
    if is_failed:
        return failed(id_, variant=variant, carried=carried, error_kind="schema", **fields)
    return answered(id_, variant=variant, carried=carried, **fields)


def figures(path: Path, rows: list[RowRecord], columns: dict[str, Kind]) -> VariantFigures | None:
    """The figures of `rows` as an output with these carried columns."""
    write_parquet(path, ((row, 2_000) for row in rows), columns, {"beside": {}})
    with open_results(path) as results:
        return variant_figures(results)


COLUMNS = {"variant_model": Kind.TEXT, "variant_system": Kind.TEXT, "variant_note": Kind.TEXT}


def test_each_variant_has_its_figures(tmp_path: Path) -> None:
    """In the order of the rows; a column of the input that is called like one of the matrix is none."""
    rows = [
        row_of(id_, model, system, is_failed=(id_, system) == ("b", None), cost_usd=0.5 if model == "m1" else 0.25)
        for id_ in "ab"
        for model in MODELS
        for system in SYSTEMS
    ]
    of_variants = figures(tmp_path / "x.parquet", rows, COLUMNS)
    assert of_variants is not None
    assert of_variants.axes == ("model", "system")
    assert of_variants.has_schema
    assert [
        (values, stats.totals.answered, stats.totals.failures["schema"], float(stats.totals.known_cost_usd or 0))
        for values, stats in of_variants.variants
    ] == [
        (("m1", "short"), 2, 0, 1.0),
        (("m1", None), 1, 1, 1.0),
        (("m2", "short"), 2, 0, 0.5),
        (("m2", None), 1, 1, 0.5),
    ]


def test_columns_of_the_input_are_no_matrix(tmp_path: Path) -> None:
    """The output of another job carries its matrix's columns; without a variant of its own there is no table."""
    rows = [answered(id_, carried={"variant_model": "m1"}) for id_ in "ab"]
    assert figures(tmp_path / "x.parquet", rows, {"variant_model": Kind.TEXT}) is None
    assert figures(tmp_path / "y.parquet", rows, {"topic": Kind.TEXT}) is None
    assert figures(tmp_path / "z.parquet", [], {"variant_model": Kind.TEXT}) is None
