"""Which rows an export takes: those for which a condition holds, and of these one part of a split by id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple

from batchchat.core.bad import Bad
from batchchat.core.record import RowRecord
from batchchat.errors import OutputError, UsageError
from batchchat.hash_table import stable_hash64
from batchchat.lossless_json import loads
from batchchat.results.values import column_values
from batchchat.sources.json_value import short_json
from batchchat.sources.templates import Condition
from batchchat.store.columns import COLUMNS, conversation, passthrough_names
from batchchat.store.parquet import PassthroughColumn
from batchchat.text.nearest import did_you_mean

__all__ = ["Part", "RowFilter", "parse_split"]

SizedRow = tuple[RowRecord, int]

_WHERE = "`--where`"
_ROWS_AT_ONCE = 500
_JSON_COLUMNS = {"tool_calls", "parsed", "logprobs"}
_HASHES = 1 << 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_ROUNDING = Fraction(1, 1000)
_TAKES = "It takes names with fractions that sum to 1: train=0.9,test=0.1."


class RowFilter:
    """The rows of a run for which the condition in `text` holds; its names are the columns of the output.

    Raises `UsageError` where it is none or names a column that is not there.
    """

    def __init__(self, text: str, passthrough: Mapping[str, PassthroughColumn]) -> None:
        self._condition = Condition.parse(text, _WHERE)
        self._passthrough = passthrough
        columns = [*(column.name for column in COLUMNS), *passthrough_names(passthrough).values()]
        names = self._condition.names
        for name in sorted(names.required.difference(columns)):
            raise UsageError(f"{_WHERE}: the output has no column `{name}`.{did_you_mean(name, columns)}")
        self._columns = [name for name in columns if names.reads_row or name in names.read]

    def take(self, rows: Iterable[SizedRow]) -> Iterator[SizedRow | None]:
        """Each of `rows`, None in place of one for which the condition does not hold.

        Raises `OutputError` for a row of which that can't be said.
        """
        remaining = iter(rows)
        while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
            records = [row for row, _ in chunk]
            values = [self._values(records, name) for name in self._columns]
            for number, sized in enumerate(chunk):
                columns = {name: column[number] for name, column in zip(self._columns, values, strict=True)}
                holds = self._condition.holds(columns)
                if isinstance(holds, Bad):
                    raise OutputError(f"row {short_json(sized[0]['id'])}: {holds.sentence}")
                yield sized if holds else None

    def _values(self, rows: Sequence[RowRecord], name: str) -> list[Any]:
        if name == "messages":
            return [conversation(row) for row in rows]
        values = column_values(rows, self._passthrough, name)
        if name not in _JSON_COLUMNS:
            return values
        return [loads(value.encode()) if isinstance(value, str) else value for value in values]


class Part(NamedTuple):
    """A part of a split: the rows whose id has a hash from `start` up to `end`."""

    name: str
    start: int
    end: int

    def has(self, row: RowRecord) -> bool:
        """Whether `row` is in it: all samples and variants of an id are in one part, whatever other rows there are."""
        return self.start <= stable_hash64(row["id"].encode("utf-8", "surrogatepass")) < self.end


def parse_split(text: str) -> list[Part]:
    """The parts of `text`, names with their fractions: `train=0.9,test=0.1`. Raises `UsageError`.

    They follow each other in the range of the hash, so that another fraction moves the rows beside its bounds alone.
    """
    fractions: dict[str, Fraction] = {}
    for entry in text.split(","):
        name, equals, number = (word.strip() for word in entry.partition("="))
        if not equals or _NAME.fullmatch(name) is None:
            raise UsageError(f"`--split` has {entry.strip()!r}: a name is letters, digits, - and _. {_TAKES}")
        if name.casefold() in map(str.casefold, fractions):
            raise UsageError(f"`--split` has the name {name} twice.")
        fractions[name] = _fraction(name, number)
    total = sum(fractions.values(), Fraction())
    if abs(total - 1) > _ROUNDING:
        raise UsageError(f"`--split`: the fractions sum to {float(total):g}, not to 1. {_TAKES}")
    parts, start, sum_before = list[Part](), 0, Fraction()
    for number_of_part, (name, fraction) in enumerate(fractions.items(), 1):
        sum_before += fraction
        end = _HASHES if number_of_part == len(fractions) else min(_HASHES, int(sum_before * _HASHES))
        parts.append(Part(name, start, end))
        start = end
    return parts


def _fraction(name: str, text: str) -> Fraction:
    try:
        fraction = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fraction = Fraction()
    if not 0 < fraction <= 1:
        raise UsageError(f"`--split`: {name} has the fraction {text!r}. It takes one above 0, up to 1. {_TAKES}")
    return fraction
