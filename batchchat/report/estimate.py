"""An estimate as it is told: for a terminal, and as JSON. What is unknown is said to be, and never 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchchat.preflight.forecast import Range
from batchchat.preflight.interval import LEVEL, Interval
from batchchat.preflight.job_estimate import JobEstimate
from batchchat.text import numbers

__all__ = ["estimate_json", "estimate_text"]

_MILLION = 1_000_000
_NAME, _COLUMN, _TOPIC = 16, 12, 11
_USD_PLACES = 9  # nano-USD: what endpoints bill in


def estimate_text(found: Sequence[JobEstimate], next_command: str) -> str:
    """The first in full, the others beside it, and what to type next."""
    first = found[0]
    lines = [f"{first.job} on {first.model} at {first.host}", "", *_table(first), "", *_topics(first)]
    if len(found) > 1:
        lines += ["", *_compared(found)]
    return "\n".join([*lines, "", f"next  {next_command}"])


def _table(one: JobEstimate) -> list[str]:
    made, load = one.forecast, one.load
    heads = "".join(word.rjust(_COLUMN) for word in ("low", "expected", "worst"))
    prompt = numbers.count(made.prompt_tokens)
    lines = [
        f"{'':{_NAME + 2}}{heads}",
        f"  {'prompt tokens':<{_NAME}}{'':{_COLUMN}}{prompt:>{_COLUMN}}",
        _range("reply tokens", made.completion_tokens, _tokens),
        *_span(made.completion_interval, _tokens),
        _range("cost", made.cost_usd or Range(None, None, None), _usd),
        *_span(made.cost_interval, _usd),
    ]
    if load.left:
        lines += [
            _range("time left", made.duration_s or Range(None, None, None), _time),
            *_span(made.duration_interval, _time),
        ]
    return lines


def _range(name: str, values: Range, written: Any) -> str:
    if all(value is None for value in values):
        return f"  {name:<{_NAME}}{'':{_COLUMN}}{numbers.UNKNOWN:>{_COLUMN}}"
    return f"  {name:<{_NAME}}{''.join(written(value).rjust(_COLUMN) for value in values)}"


def _span(span: Interval | None, written: Any) -> list[str]:
    if span is None:
        return []
    text = f"{written(span.low)} – {written(span.high)}"  # noqa: RUF001 (as ranges are set)
    return [f"    {f'{LEVEL:.0%} interval':<{_NAME - 2}}{text.center(3 * _COLUMN + 8).rstrip()}"]


def _tokens(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.compact(value)


def _usd(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.money(value)


def _time(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.duration(value)


def _topics(one: JobEstimate) -> list[str]:
    load, sources = one.load, one.forecast.sources
    topics: list[tuple[str, str]] = [("prompts", sources["prompt_tokens"] or numbers.UNKNOWN)]
    topics.append(("replies", sources["completion_tokens"] or numbers.UNKNOWN))
    topics.append(("price", sources["cost_usd"] or numbers.UNKNOWN))
    if load.left:
        pace = f"{numbers.count(min(one.concurrency, load.left))} in flight"
        how = sources["duration_s"]
        topics.append(("time", f"{pace}, {how}" if how else "unknown: no answer was timed yet"))
    topics.append(("rows", f"{numbers.count(load.rows)} · {numbers.count(load.left)} to be sent"))
    if load.kept:
        topics.append(("free", f"{numbers.rows(load.kept)} {'is' if load.kept == 1 else 'are'} answered already"))
    if load.kept_failed:
        topics.append(("failed", f"{numbers.rows(load.kept_failed)} failed before and stay so until --retry-failed"))
    if load.too_long and one.context_length is not None:
        shown = ", ".join(load.first_too_long)
        rest = load.too_long - len(load.first_too_long)
        more = f" and {numbers.count(rest)} more" if rest else ""
        topics.append(
            (
                "won't fit",
                f"{numbers.rows(load.too_long)} over {numbers.count(one.context_length)} tokens: {shown}{more}",
            )
        )
    if load.invalid:
        topics.append(("invalid", f"{numbers.rows(load.invalid)} can't be sent; batchchat validate names them"))
    topics += [("note" if not at else "", note) for at, note in enumerate(one.forecast.notes)]
    return [f"  {name:<{_TOPIC}}{text}" for name, text in topics]


def _compared(found: Sequence[JobEstimate]) -> list[str]:
    """A line a model, the figures right-aligned."""
    heads = ("model", "prompt tokens", "reply tokens", "low", "expected", "worst", "price, in / out")
    rows: list[tuple[str, ...]] = [heads]
    for one in found:
        made = one.forecast
        cost = made.cost_usd or Range(None, None, None)
        price = numbers.UNKNOWN
        if made.charge is not None:
            price = f"${made.charge.input_usd * _MILLION:.4g} / ${made.charge.output_usd * _MILLION:.4g}"
        replies = _tokens(made.completion_tokens.expected)
        rows.append((one.model, numbers.count(made.prompt_tokens), replies, *(_usd(usd) for usd in cost), price))
    widths = [max(len(row[at]) for row in rows) for at in range(len(heads))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def estimate_json(found: Sequence[JobEstimate]) -> dict[str, Any]:
    """The contract's object, of the first; where several are compared, of each under `models`."""
    first = _json(found[0])
    return first if len(found) == 1 else {**first, "models": [_json(one) for one in found]}


def _json(one: JobEstimate) -> dict[str, Any]:
    load, made, charge = one.load, one.forecast, one.forecast.charge
    name, exact, error = one.tokenizer
    return {
        "job": one.job,
        "model": one.model,
        "rows": load.rows,
        "rows_left": load.left,
        "answered_rows": load.kept,
        "failed_rows": load.kept_failed,
        "invalid_rows": load.invalid,
        "too_long_rows": load.too_long,
        "context_length": one.context_length,
        "tokenizer": {"name": name, "exact": exact, "error": error},
        "prompt_tokens": made.prompt_tokens,
        "completion_tokens": _json_range(made.completion_tokens, None),
        "cost_usd": None if made.cost_usd is None else _json_range(made.cost_usd, _USD_PLACES),
        "price": None
        if charge is None
        else {
            "input": round(charge.input_usd * _MILLION, _USD_PLACES),
            "output": round(charge.output_usd * _MILLION, _USD_PLACES),
            "source": charge.source,
            "as_of": charge.as_of,
        },
        "duration_s": None if made.duration_s is None else _json_range(made.duration_s, 3),
        "pilot": None
        if one.pilot is None
        else {
            "rows": one.pilot.rows,
            "failed_rows": one.pilot.failed,
            "seed": one.pilot.seed,
            "cost_usd": _rounded(one.pilot.cost_usd, _USD_PLACES),
            "level": LEVEL,
            "cost_interval_usd": _json_span(made.cost_interval, _USD_PLACES),
            "completion_tokens_interval": _json_span(made.completion_interval, None),
            "duration_interval_s": _json_span(made.duration_interval, 3),
        },
        "sources": made.sources,
        "notes": made.notes,
    }


def _rounded(value: float | None, places: int | None) -> float | None:
    return None if value is None else round(value, places)


def _json_range(values: Range, places: int | None) -> dict[str, Any]:
    return {name: _rounded(value, places) for name, value in values._asdict().items()}


def _json_span(span: Interval | None, places: int | None) -> list[float | None] | None:
    return None if span is None else [_rounded(span.low, places), _rounded(span.high, places)]
