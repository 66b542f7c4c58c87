"""The dated price table: the package's own, and a user's file in the same format; pure but for reading them.

CSV with a header line: model, host, input, output (USD per million tokens); cached_input and context_length, which may
be empty; source and as_of, the day the price was looked up. A price applies to its host only: DeepInfra's is not
OpenAI's. In a user's file an empty host means any. Of several matching lines, one with the host wins, then the last.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from batchchat.core.price import Price
from batchchat.errors import UsageError, refuse_pipe
from batchchat.text.nearest import nearest_names

__all__ = ["COLUMNS", "MAX_AGE", "PriceEntry", "PriceTable", "builtin_table", "read_table"]

COLUMNS = ("model", "host", "input", "output", "cached_input", "context_length", "source", "as_of")
MAX_AGE = timedelta(days=180)
"""Prices that were looked up longer ago are old: they may have changed."""
_BUILTIN = "prices.csv"
_MAY_BE_EMPTY = {"host", "cached_input", "context_length"}
_MAX_BYTES = 16 << 20
_MAX_USD = 10**6
_MAX_TOKENS = 10**9
_MAX_SUGGESTIONS = 3
_CUTOFF = 0.5  # lower than for keys: names of models share little but their family


class PriceEntry(NamedTuple):
    """The price of `model` at `host` ("" means any), found at `source` on the day `as_of`."""

    model: str
    host: str
    price: Price
    context_length: int | None
    source: str
    as_of: date

    def is_old(self, today: date) -> bool:
        """True if the price was looked up more than `MAX_AGE` before `today`."""
        return today - self.as_of > MAX_AGE


class PriceTable:
    """Entries by model and host; case makes no difference."""

    def __init__(self, entries: Sequence[PriceEntry]) -> None:
        self.entries = tuple(entries)
        self._by_name = {(entry.model.lower(), entry.host.lower()): entry for entry in entries}

    def find(self, model: str, host: str) -> PriceEntry | None:
        """The entry that applies to `model` at `host`; None where there is none."""
        name = model.lower()
        return self._by_name.get((name, host.lower())) or self._by_name.get((name, ""))

    def find_all(self, model: str) -> list[PriceEntry]:
        """The entries of `model` at all hosts; the owner before its name may be left out."""
        name = model.lower()
        entries = [entry for entry in self.entries if entry.model.lower() == name]
        return entries or [entry for entry in self.entries if entry.model.lower().rpartition("/")[2] == name]

    def nearest_names(self, model: str) -> list[str]:
        """At most three names of models that are similar to `model`, the nearest first."""
        word = model.lower()
        names = {entry.model.lower(): entry.model for entry in self.entries}
        close = nearest_names(word, names, max_count=_MAX_SUGGESTIONS, cutoff=_CUTOFF)
        tails = {name.rpartition("/")[2]: name for name in names}
        tail = word.rpartition("/")[2]
        close += [tails[near] for near in nearest_names(tail, tails, max_count=_MAX_SUGGESTIONS, cutoff=_CUTOFF)]
        containing = [name for name in names if word and word in name]
        return [names[name] for name in dict.fromkeys([*close, *containing])][:_MAX_SUGGESTIONS]


def builtin_table() -> PriceTable:
    """The price table of the package."""
    text = Path(__file__).with_name(_BUILTIN).read_text(encoding="utf-8")
    return PriceTable(list(_entries(text, _BUILTIN)))


def read_table(path: Path, as_given: str) -> PriceTable:
    """The price table in a user's file; `as_given` is its path for messages.

    Raises `UsageError` that names file, line and field.
    """
    try:
        refuse_pipe(path)
        data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else None
    except OSError as error:
        raise UsageError(f"`prices` is {as_given}, which can't be read: {error.strerror}.") from error
    if data is None:
        raise UsageError(f"`prices` is {as_given}, which is over {_MAX_BYTES >> 20} MiB, too large for a price table.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{as_given}:{line}: this is not UTF-8. Save the file as UTF-8.") from error
    return PriceTable(list(_entries(text, as_given)))


def _entries(text: str, name: str) -> Iterator[PriceEntry]:
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        header = [cell.strip() for cell in next(rows, [])]
        if unknown := [cell for cell in header if cell not in COLUMNS]:
            raise UsageError(
                f"{name}:1: `{_printable(unknown[0])}` is not a column of a price table. It has {', '.join(COLUMNS)}."
            )
        if missing := [column for column in COLUMNS if column not in header and column not in _MAY_BE_EMPTY]:
            raise UsageError(f"{name}:1: the column `{missing[0]}` is missing. The header is {','.join(COLUMNS)}.")
        for cells in rows:
            if cells:
                yield _entry(header, [cell.strip() for cell in cells], f"{name}:{rows.line_num}")
    except csv.Error as error:
        raise UsageError(f"{name}:{rows.line_num}: this is not a line of CSV: {error}.") from error


def _entry(header: list[str], cells: list[str], location: str) -> PriceEntry:
    if len(cells) != len(header):
        raise UsageError(
            f"{location}: the line has {len(cells)} fields, and the header {len(header)}: {','.join(header)}."
        )
    row = dict.fromkeys(COLUMNS, "") | dict(zip(header, cells, strict=True))
    for column in COLUMNS:
        if not row[column] and column not in _MAY_BE_EMPTY:
            raise UsageError(f"{location}: `{column}` is empty.")
    return PriceEntry(
        model=row["model"],
        host=row["host"],
        price=Price(
            _usd(row, "input", location),
            _usd(row, "output", location),
            _usd(row, "cached_input", location) if row["cached_input"] else None,
        ),
        context_length=_tokens(row, location) if row["context_length"] else None,
        source=row["source"],
        as_of=_date(row, location),
    )


def _usd(row: dict[str, str], column: str, location: str) -> Decimal:
    try:
        value = Decimal(row[column])
        fits = value.is_finite() and 0 <= value <= _MAX_USD
    except InvalidOperation:
        fits = False
    if not fits:
        raise UsageError(
            f"{location}: `{column}` is {_printable(row[column])}. It takes USD per million tokens, 0 or more."
        )
    return value


def _tokens(row: dict[str, str], location: str) -> int:
    text = row["context_length"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= _MAX_TOKENS):
        raise UsageError(
            f"{location}: `context_length` is {_printable(text)}. It takes a whole number of tokens above 0."
        )
    return int(text)


def _date(row: dict[str, str], location: str) -> date:
    try:
        return date.fromisoformat(row["as_of"])
    except ValueError:
        raise UsageError(
            f"{location}: `as_of` is {_printable(row['as_of'])}. It takes a day such as 2026-11-22."
        ) from None


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:40])
