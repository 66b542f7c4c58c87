"""The price table as text, as JSON and as CSV; pure."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import date
from io import StringIO
from typing import Any

from batchchat.pricing.price_table import COLUMNS, MAX_AGE, PriceEntry
from batchchat.text import numbers
from batchchat.text.labelled import labelled, labelled_list
from batchchat.text.table import table

__all__ = ["old_prices_warning", "price_csv", "price_json", "price_text"]

_HEAD = ("model", "host", "in", "out", "cached", "context", "as of")
_LEFT_ALIGNED = {0, 1, 6}


def price_text(entries: Sequence[PriceEntry]) -> str:
    """The prices of `entries` in USD per million tokens as a table, and their sources below it."""
    rows = [_HEAD, *map(_cells, entries)]
    sources = dict.fromkeys(f"{entry.source}, {entry.as_of.isoformat()}" for entry in entries)
    source_lines = labelled_list(labelled("from", sources), width=6, indent=0)
    return "\n".join([table(rows, left=_LEFT_ALIGNED, indent=0), "", "USD per million tokens", source_lines])


def old_prices_warning(entries: Sequence[PriceEntry], today: date) -> str | None:
    """A warning where some of `entries` are so old on the day `today` that they may have changed; else None."""
    old = [entry for entry in entries if entry.is_old(today)]
    if not old:
        return None
    oldest = min(old, key=lambda entry: entry.as_of)
    number = "1 price is" if len(old) == 1 else f"{numbers.count(len(old))} prices are"
    return (
        f"{number} older than {MAX_AGE.days} days ({oldest.model}: {oldest.as_of.isoformat()}) and may have changed."
        " Look up the current prices and set them in a table of your own (`prices` in the job)."
    )


def price_json(entries: Sequence[PriceEntry], today: date) -> list[dict[str, Any]]:
    """The objects that `--json` prints, with prices in USD per million tokens."""
    return [
        {
            "model": entry.model,
            "host": entry.host or None,
            "input": float(entry.price.input),
            "output": float(entry.price.output),
            "cached_input": None if entry.price.cached_input is None else float(entry.price.cached_input),
            "context_length": entry.context_length,
            "source": entry.source,
            "as_of": entry.as_of.isoformat(),
            "old": entry.is_old(today),
        }
        for entry in entries
    ]


def price_csv(entries: Sequence[PriceEntry]) -> str:
    """CSV in the format of a job's `prices`."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        price = entry.price
        writer.writerow(
            (
                entry.model,
                entry.host,
                price.input,
                price.output,
                "" if price.cached_input is None else price.cached_input,
                "" if entry.context_length is None else entry.context_length,
                entry.source,
                entry.as_of.isoformat(),
            )
        )
    return text.getvalue().removesuffix("\n")


def _cells(entry: PriceEntry) -> tuple[str, ...]:
    price = entry.price
    return (
        entry.model,
        entry.host or "any",
        f"${price.input}",
        f"${price.output}",
        numbers.NONE if price.cached_input is None else f"${price.cached_input}",
        numbers.NONE if entry.context_length is None else numbers.count(entry.context_length),
        entry.as_of.isoformat(),
    )
