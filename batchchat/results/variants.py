"""The figures of each variant of a job's matrix, as `report --by` has them, and the values that make a variant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa

from batchchat.core.conversation import ErrorKind
from batchchat.results.columnar import TALLIED, TALLIED_OF_RECORDS, tally_batches
from batchchat.results.group_numbers import distinct_rows
from batchchat.results.group_stats import GroupStats
from batchchat.results.reader import Results
from batchchat.results.values import batch_values
from batchchat.store.columns import passthrough_names

__all__ = ["VariantFigures", "variant_figures"]

_PREFIX = "variant_"


class VariantFigures(NamedTuple):
    """The names of the matrix's `axes`, and the figures of each variant by its values, one for each axis.

    The variants are in the order of the output's rows. `has_schema` is True where replies were checked against one.
    """

    axes: tuple[str, ...]
    variants: list[tuple[tuple[Any, ...], GroupStats]]
    has_schema: bool


def variant_figures(results: Results) -> VariantFigures | None:
    """The figures of each variant of `results`, read in one pass; None where there is no matrix."""
    if not results.published and not _has_variants(results):  # rather than read all rows for their columns' names
        return None
    names = [name for name in passthrough_names(results.passthrough).values() if name.startswith(_PREFIX)]
    if not names:
        return None
    matrix = _Matrix(names)
    tallied = TALLIED if results.published else TALLIED_OF_RECORDS
    columns = tallied.union({"variant", "parsed"}, names)
    _, groups = tally_batches(matrix.observed(results.columns(columns)), ["variant"])
    stats_by_variant = {variant: stats for (variant,), stats in groups}
    variants = [variant for variant in matrix.variants if variant]  # rows from before there was a matrix have none
    axes = {
        name: values
        for name, values in matrix.columns.items()
        if any(values[variant] is not None for variant in variants)
    }
    if not axes:
        return None
    return VariantFigures(
        tuple(name.removeprefix(_PREFIX) for name in axes),
        [(tuple(values[variant] for values in axes.values()), stats_by_variant[variant]) for variant in variants],
        matrix.has_parsed or any(stats.totals.failures[ErrorKind.SCHEMA] for stats in stats_by_variant.values()),
    )


def _has_variants(results: Results) -> bool:
    return any(variant for batch in results.columns({"variant"}) for (variant,) in distinct_rows(batch, ["variant"])[1])


class _Matrix:
    """The variants in the batches that were read, and their value in each column.

    A column with several values for one variant is none of the matrix, but was in the input under such a name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.variants: dict[str, None] = {}
        self.columns: dict[str, dict[str, Any]] = {name: {} for name in names}
        self.has_parsed = False

    def observed(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, each looked at."""
        for batch in batches:
            variants: list[Any] = batch_values(batch, "variant")
            self.variants.update(dict.fromkeys(variants))
            for name, values in list(self.columns.items()):
                if not _agree(values, variants, batch_values(batch, name)):
                    del self.columns[name]
            parsed = batch.column("parsed")
            self.has_parsed = self.has_parsed or parsed.null_count < len(parsed)
            yield batch


def _agree(value_by_variant: dict[str, Any], variants: list[str], values: list[Any]) -> bool:
    """Whether each variant has one value; new variants are added to `value_by_variant`."""
    return all(
        value_by_variant.setdefault(variant, value) == value for variant, value in zip(variants, values, strict=True)
    )
