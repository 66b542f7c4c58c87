"""What becomes of one input row: a row for each variant of the job's matrix and each sample of it; pure.

A variant is one combination of the matrix's values. It wins over the job and over a row's own model and parameters,
since its columns say what was sent. Rows are made interleaved, all of one input row in succession, so that a run which
stops half-way has about as many rows of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from batchchat.core.conversation import BadRow, Key, Row
from batchchat.job.matrix import Axis

__all__ = ["NO_VARIANT", "RowExpansion", "Variant", "variants_of"]

_PARAMS = "params."


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination: its `name`, the `columns` that say what it is, and what it replaces; None is not replaced.

    `system_label` is the name of its system message in the matrix.
    """

    name: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    system: str | None = None
    system_label: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


NO_VARIANT = Variant()


def variants_of(matrix: Sequence[Axis]) -> tuple[Variant, ...]:
    """Every combination of the values of `matrix`, the last axis changing fastest; one without a name if it is empty.

    A name has the axes in alphabetical order: `model=a,temperature=0`. So it stays the same where axes change places.
    """
    if not matrix:
        return (NO_VARIANT,)
    return tuple(
        _variant(dict(zip((axis.key for axis in matrix), values, strict=True)), matrix) for values in _all(matrix)
    )


def _all(matrix: Sequence[Axis]) -> Iterator[tuple[tuple[str, Any], ...]]:
    return product(*(axis.values for axis in matrix))


def _variant(values: Mapping[str, tuple[str, Any]], matrix: Sequence[Axis]) -> Variant:
    labels = {axis.name: values[axis.key][0] for axis in matrix}
    columns = {f"variant_{axis.name}": values[axis.key][0 if axis.labelled else 1] for axis in matrix}
    system_label, system = values.get("system", (None, None))
    return Variant(
        name=",".join(f"{name}={labels[name]}" for name in sorted(labels)),
        columns=columns,
        model=values.get("model", (None, None))[1],
        system=system,
        system_label=system_label,
        params={key.removeprefix(_PARAMS): value for key, (_, value) in values.items() if key.startswith(_PARAMS)},
    )


class RowExpansion:
    """Makes the rows of each input row: one for each of `variants` and each of `samples`."""

    def __init__(self, variants: Sequence[Variant] = (NO_VARIANT,), samples: int = 1) -> None:
        self.rows_each = len(variants) * samples
        """How many rows an input row becomes."""
        self._variants = variants
        self.samples = samples
        self._by_name = {variant.name: variant for variant in variants}
        self._changes_nothing = self.rows_each == 1 and variants[0] is NO_VARIANT

    def variant_of(self, key: Key) -> Variant:
        """The variant of the row of `key`, which `rows` has made."""
        return self._by_name[key.variant]

    def rows(self, row: Row) -> Iterable[tuple[Row, Variant]]:
        """The rows of `row`, each with its variant. Their ordinals follow each other."""
        return ((row, NO_VARIANT),) if self._changes_nothing else self._rows(row)

    def _rows(self, row: Row) -> Iterator[tuple[Row, Variant]]:
        ordinal = row.ordinal * self.rows_each
        for variant in self._variants:
            passthrough = _with_columns(row.passthrough, variant.columns)
            for sample in range(self.samples):
                key = Key(row.key.id, variant.name, sample)
                yield row._replace(key=key, ordinal=ordinal, passthrough=passthrough), variant
                ordinal += 1

    def bad_rows(self, row: BadRow) -> Iterator[BadRow]:
        """The rows of `row`, all bad: each variant and sample has as many rows as the input."""
        if self._changes_nothing:
            yield row
            return
        ordinal = row.ordinal * self.rows_each
        for variant in self._variants:
            passthrough = _with_columns(row.passthrough, variant.columns)
            for sample in range(self.samples):
                key = Key(row.key.id, variant.name, sample)
                yield replace(row, key=key, ordinal=ordinal, passthrough=passthrough)
                ordinal += 1


def _with_columns(passthrough: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """`passthrough` behind the variant's `columns`; an input column of the same name gets `input_` before it."""
    if not columns:
        return passthrough
    values = dict(columns)
    for name, value in passthrough.items():
        while name in values:
            name = f"input_{name}"  # noqa: PLW2901
        values[name] = value
    return values
