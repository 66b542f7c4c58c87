"""How figures are written for people: units always, three significant digits, unknown never as 0."""

from __future__ import annotations

import math
import os
import time
from decimal import Decimal
from pathlib import Path

__all__ = [
    "NONE",
    "UNKNOWN",
    "clock",
    "compact",
    "count",
    "duration",
    "money",
    "money_a_row",
    "per_hour",
    "quantity",
    "rows",
    "seconds",
    "shorten",
    "shown_path",
    "size",
    "small_money",
    "time_of_day",
]

UNKNOWN = "unknown"
NONE = "–"  # noqa: RUF001 (an en dash, as tables are set)
"""In a table, where a figure is unknown or there is nothing to count."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def count(number: float) -> str:
    """`12,480`."""
    return f"{number:,.0f}"


def compact(number: float) -> str:
    """`412`, `31k`, `8.1 M`."""
    if round(number) < 1_000:  # noqa: PLR2004
        return f"{number:.0f}"
    # What rounds up to a thousand is one of the next unit.
    value, unit = (number / 1e3, "k") if round(number / 1e3) < 1_000 else (number / 1e6, " M")  # noqa: PLR2004
    return f"{value:.1f}{unit}" if round(value, 1) < 10 else f"{value:.0f}{unit}"  # noqa: PLR2004


def money(usd: Decimal | float | None) -> str:
    """`$6.2841`; four places below $100, two above, never rounded down to nothing."""
    if usd is None:
        return UNKNOWN
    value = Decimal(usd)
    if 0 < value < Decimal("0.0001"):
        return "<$0.0001"
    return f"${value:,.2f}" if value >= 100 else f"${value:.4f}"  # noqa: PLR2004


def money_a_row(usd: Decimal, count_of_rows: int) -> str:
    """`$0.0012 an answered row`; what is below $0.0001 is given for 1,000 rows, so that rows can be compared."""
    row_usd = usd / count_of_rows
    if 0 < row_usd < Decimal("0.0001"):
        return f"{small_money(row_usd * 1000)} per 1,000 answered rows"
    return f"{money(row_usd)} an answered row"


def small_money(usd: Decimal) -> str:
    """`$0.00420`, three significant digits where `money` would have fewer."""
    if not 0 < usd < Decimal("0.01"):
        return money(usd)
    return f"${usd:.{min(12, 2 - usd.adjusted())}f}"


def per_hour(usd: float) -> str:
    """`$1.20/h`; cents are enough for a pace, below a dollar four places."""
    return f"${usd:,.2f}/h" if usd >= 1 else f"{money(usd)}/h"


def duration(span_s: float | None) -> str:
    """`4.1s`, `9m 51s`, `2h 05m`, `3d 4h`."""
    if span_s is None:
        return UNKNOWN
    if span_s < 10:  # noqa: PLR2004
        return f"{span_s:.1f}s"
    whole = round(span_s)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR}h"


def clock(span_s: float | None) -> str:
    """`04:07`, `1:02:03`, `?`: a span that is watched as it grows, in a fixed width."""
    if span_s is None:
        return "?"
    minutes, whole_seconds = divmod(round(span_s), _MINUTE)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_seconds:02}" if hours else f"{minutes:02}:{whole_seconds:02}"


def seconds(value: float | None) -> str:
    """`4.1 s`, three significant digits: for latencies."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.0005:  # noqa: PLR2004
        return "<0.001 s"
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{min(digits, 3)}f} s" if value < 100 else f"{value:,.0f} s"  # noqa: PLR2004


def time_of_day(at: float, *, utc: bool = False) -> str:
    """`05:02:14` here, or `05:02:14Z`; `at` is in seconds since the epoch."""
    return time.strftime("%H:%M:%SZ", time.gmtime(at)) if utc else time.strftime("%H:%M:%S", time.localtime(at))


def size(number: int) -> str:
    """`31 MB`."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":  # noqa: PLR2004
            break
        value /= 1000
    return f"{value:.1f} {unit}" if value < 10 and unit != "bytes" else f"{value:,.0f} {unit}"  # noqa: PLR2004


def shorten(text: str, width: int) -> str:
    """One line of at most `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else (line[: width - 1] + "…" if width > 0 else "")


def shown_path(path: Path) -> str:
    """`path` as it can be typed in the working directory; `..` is kept only where it leaves a link."""
    plain = Path(os.path.normpath(path))
    if plain.resolve() != path.resolve():
        plain = path
    try:
        return str(plain.relative_to(Path.cwd()))
    except ValueError:
        return str(plain)


def quantity(number: float, noun: str) -> str:
    """`1 row`, `12,480 rows`: a count with its noun, which takes an s in the plural."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def rows(number: int) -> str:
    """`1 row`, `12,480 rows`."""
    return quantity(number, "row")
