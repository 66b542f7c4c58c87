"""The dated table of prices: the package's own, and a user's file of the same form; pure but for reading them.

CSV with a head: model, host, input, output (USD per million tokens); cached_input and context_length, which may be
empty; source and as_of, the day it was known. A price holds at its host alone: DeepInfra's is not OpenAI's. In a user's
file an empty host is any. Of several lines that fit, one with the host comes first, then the last. Nothing is guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path

from batchchat.core.price import Price
from batchchat.errors import UsageError

__all__ = ["COLUMNS", "OLD", "PriceEntry", "PriceTable", "builtin_table", "read_table"]

COLUMNS = ("model", "host", "input", "output", "cached_input", "context_length", "source", "as_of")
OLD = timedelta(days=180)
_BUILTIN = "prices.csv"
_MAY_BE_EMPTY = {"host", "cached_input", "context_length"}
_LARGEST = 16 << 20
_MOST_USD = 10**6
_MOST_TOKENS = 10**9
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """A model's price at `host` ("" is any), as `source` said it on the day `as_of`."""

    model: str
    host: str
    price: Price
    context_length: int | None
    source: str
    as_of: date

    def is_old(self, today: date) -> bool:
        """Whether it was looked up longer ago than prices can be trusted to stand."""
        return today - self.as_of > OLD


class PriceTable:
    """Entries by model and host; capitals make no difference."""

    def __init__(self, entries: Sequence[PriceEntry]) -> None:
        self.entries = tuple(entries)
        self._by_name = {(entry.model.lower(), entry.host.lower()): entry for entry in entries}

    def find(self, model: str, host: str) -> PriceEntry | None:
        """The entry that holds for `model` at `host`."""
        name = model.lower()
        return self._by_name.get((name, host.lower())) or self._by_name.get((name, ""))

    def named(self, model: str) -> list[PriceEntry]:
        """The entries of a model at all hosts; an owner's name before it may be left out."""
        name = model.lower()
        found = [entry for entry in self.entries if entry.model.lower() == name]
        return found or [entry for entry in self.entries if entry.model.lower().rpartition("/")[2] == name]

    def nearest(self, model: str) -> list[str]:
        """Names that `model` may have meant, the nearest first."""
        word = model.lower()
        names = {entry.model.lower(): entry.model for entry in self.entries}
        close = get_close_matches(word, names, n=_NEAREST, cutoff=0.5)
        tails = {name.rpartition("/")[2]: name for name in names}
        close += [tails[tail] for tail in get_close_matches(word.rpartition("/")[2], tails, n=_NEAREST, cutoff=0.5)]
        within = [name for name in names if word and word in name]
        return [names[name] for name in dict.fromkeys([*close, *within])][:_NEAREST]


def builtin_table() -> PriceTable:
    """The table of the package."""
    text = Path(__file__).with_name(_BUILTIN).read_text(encoding="utf-8")
    return PriceTable(list(_entries(text, _BUILTIN)))


def read_table(path: Path, typed: str) -> PriceTable:
    """A user's file; `typed` is its path for messages. Raises `UsageError` that names file, line and field."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else None
    except OSError as error:
        raise UsageError(f"`prices` is {typed}, which can't be read: {error.strerror}.") from error
    if data is None:
        raise UsageError(f"`prices` is {typed}, which is over {_LARGEST >> 20} MiB and no table of prices.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{typed}:{line}: this is not UTF-8. Save the file as UTF-8.") from error
    return PriceTable(list(_entries(text, typed)))


def _entries(text: str, name: str) -> Iterator[PriceEntry]:
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        head = [cell.strip() for cell in next(rows, [])]
        if unknown := [cell for cell in head if cell not in COLUMNS]:
            raise UsageError(
                f"{name}:1: `{_shown(unknown[0])}` is not a column of a price table. It has {', '.join(COLUMNS)}."
            )
        if lacking := [column for column in COLUMNS if column not in head and column not in _MAY_BE_EMPTY]:
            raise UsageError(f"{name}:1: the column `{lacking[0]}` is missing. The head is {','.join(COLUMNS)}.")
        for cells in rows:
            if cells:
                yield _entry(head, [cell.strip() for cell in cells], f"{name}:{rows.line_num}")
    except csv.Error as error:
        raise UsageError(f"{name}:{rows.line_num}: this is no line of CSV: {error}.") from error


def _entry(head: list[str], cells: list[str], place: str) -> PriceEntry:
    if len(cells) != len(head):
        raise UsageError(f"{place}: the line has {len(cells)} fields, and the head {len(head)}: {','.join(head)}.")
    row = dict.fromkeys(COLUMNS, "") | dict(zip(head, cells, strict=True))
    for column in COLUMNS:
        if not row[column] and column not in _MAY_BE_EMPTY:
            raise UsageError(f"{place}: `{column}` is empty.")
    return PriceEntry(
        model=row["model"],
        host=row["host"],
        price=Price(
            _usd(row, "input", place),
            _usd(row, "output", place),
            _usd(row, "cached_input", place) if row["cached_input"] else None,
        ),
        context_length=_tokens(row, place) if row["context_length"] else None,
        source=row["source"],
        as_of=_day(row, place),
    )


def _usd(row: dict[str, str], column: str, place: str) -> Decimal:
    try:
        value = Decimal(row[column])
        fits = value.is_finite() and 0 <= value <= _MOST_USD
    except InvalidOperation:
        fits = False
    if not fits:
        raise UsageError(f"{place}: `{column}` is {_shown(row[column])}. It takes USD per million tokens, 0 or more.")
    return value


def _tokens(row: dict[str, str], place: str) -> int:
    text = row["context_length"]
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= _MOST_TOKENS):
        raise UsageError(f"{place}: `context_length` is {_shown(text)}. It takes a whole number of tokens above 0.")
    return int(text)


def _day(row: dict[str, str], place: str) -> date:
    try:
        return date.fromisoformat(row["as_of"])
    except ValueError:
        raise UsageError(f"{place}: `as_of` is {_shown(row['as_of'])}. It takes a day such as 2026-11-22.") from None


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:40])
