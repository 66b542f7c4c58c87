"""An estimate as text for a terminal and as JSON. An unknown figure is shown as unknown or null, never as 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from batchchat.preflight.forecast import Range
from batchchat.preflight.interval import LEVEL, Interval
from batchchat.preflight.job_estimate import JobEstimate
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled, labelled_list, next_lines
from batchchat.text.table import table

__all__ = ["estimate_json", "estimate_text"]

_MILLION = 1_000_000
_Write = Callable[[float | None], str]
_NAME_WIDTH, _COLUMN_WIDTH, _LABEL_WIDTH = 16, 12, 11
_USD_PLACES = 9  # nano-USD, the unit that endpoints bill in


def estimate_text(estimates: Sequence[JobEstimate], next_command: str | None) -> str:
    """The first of `estimates` in full, a comparison where there are several, and the command to type next."""
    first = estimates[0]
    lines = [f"{first.job} on {first.model} at {first.host}", "", *_figures(first), ""]
    lines.append(labelled_list(_labelled_lines(first), width=_LABEL_WIDTH))
    if len(estimates) > 1:
        lines += ["", _comparison(estimates)]
    return "\n".join(lines if next_command is None else [*lines, "", next_lines([next_command])])


def _figures(estimate: JobEstimate) -> list[str]:
    """The low, expected and worst figures, each quantity with its interval below it."""
    forecast = estimate.forecast
    heads = "".join(word.rjust(_COLUMN_WIDTH) for word in ("low", "expected", "worst"))
    prompt = numbers.count(forecast.prompt_tokens)
    lines = [
        f"{'':{_NAME_WIDTH + 2}}{heads}",
        f"  {'prompt tokens':<{_NAME_WIDTH}}{'':{_COLUMN_WIDTH}}{prompt:>{_COLUMN_WIDTH}}",
        _range("reply tokens", forecast.completion_tokens, _tokens),
        *_interval(forecast.completion_interval, _tokens),
        _range("cost", forecast.cost_usd or Range(None, None, None), _usd),
        *_interval(forecast.cost_interval, _usd),
    ]
    if estimate.load.kept or estimate.load.kept_failed:
        lines.append(_range("left to pay", forecast.left_cost_usd or Range(None, None, None), _usd))
    if estimate.load.left:
        lines += [
            _range("time left", forecast.duration_s or Range(None, None, None), _time),
            *_interval(forecast.duration_interval, _time),
        ]
    return lines


def _range(name: str, values: Range, write: _Write) -> str:
    if all(value is None for value in values):
        return f"  {name:<{_NAME_WIDTH}}{'':{_COLUMN_WIDTH}}{numbers.UNKNOWN:>{_COLUMN_WIDTH}}"
    return f"  {name:<{_NAME_WIDTH}}{''.join(write(value).rjust(_COLUMN_WIDTH) for value in values)}"


def _interval(span: Interval | None, write: _Write) -> list[str]:
    if span is None:
        return []
    text = f"{write(span.low)} – {write(span.high)}"  # noqa: RUF001 (as ranges are set)
    return [f"    {f'{LEVEL:.0%} interval':<{_NAME_WIDTH - 2}}{text.center(3 * _COLUMN_WIDTH + 8).rstrip()}"]


def _tokens(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.compact(value)


def _usd(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.money(value)


def _time(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.duration(value)


def _labelled_lines(estimate: JobEstimate) -> list[LabelledLine]:
    """The sources of the figures, the counts of rows, and the notes."""
    load, sources = estimate.load, estimate.forecast.sources
    lines: list[tuple[str, str]] = [("prompts", sources["prompt_tokens"] or numbers.UNKNOWN)]
    lines.append(("replies", sources["completion_tokens"] or numbers.UNKNOWN))
    lines.append(("price", sources["cost_usd"] or numbers.UNKNOWN))
    if load.left:
        in_flight = f"{numbers.count(min(estimate.concurrency, load.left))} in flight"
        source = sources["duration_s"]
        lines.append(("time", f"{in_flight}, {source}" if source else "unknown: no latency was measured yet"))
    to_send = f"{numbers.count(load.left)} to be sent" if load.left else "nothing left to send"
    lines.append(("rows", f"{numbers.count(load.rows)} · {to_send}"))
    if load.kept:
        lines.append(("free", f"{numbers.rows(load.kept)} {'is' if load.kept == 1 else 'are'} answered already"))
    if shared := load.shared + load.kept_shared:
        share = "shares" if shared == 1 else "share"
        lines.append(("free", f"{numbers.rows(shared)} {share} the answer of an equal request"))
    if load.kept_failed:
        lines.append(("failed", f"{numbers.rows(load.kept_failed)} failed before; --retry-failed sends them again"))
    if load.too_long and estimate.context_length is not None:
        shown = ", ".join(load.first_too_long)
        remaining = load.too_long - len(load.first_too_long)
        more = f" and {numbers.count(remaining)} more" if remaining else ""
        lines.append(
            (
                "won't fit",
                f"{numbers.rows(load.too_long)} over {numbers.count(estimate.context_length)} tokens: {shown}{more}",
            )
        )
    if load.invalid:
        lines.append(("invalid", f"{numbers.rows(load.invalid)} can't be sent; batchchat validate lists them"))
    return [LabelledLine(*line) for line in lines] + labelled("note", estimate.forecast.notes)


def _comparison(estimates: Sequence[JobEstimate]) -> str:
    """A table with a line for each model, the figures right-aligned."""
    heads = ("model", "prompt tokens", "reply tokens", "low", "expected", "worst", "price, in / out")
    rows: list[tuple[str, ...]] = [heads]
    for estimate in estimates:
        forecast = estimate.forecast
        cost = forecast.cost_usd or Range(None, None, None)
        price = numbers.NONE if estimate.is_sum else numbers.UNKNOWN
        if forecast.charge is not None:
            price = f"${forecast.charge.input_usd * _MILLION:.4g} / ${forecast.charge.output_usd * _MILLION:.4g}"
        replies = _tokens(forecast.completion_tokens.expected)
        rows.append(
            (
                "all" if estimate.is_sum else estimate.model,
                numbers.count(forecast.prompt_tokens),
                replies,
                *(_usd(usd) for usd in cost),
                price,
            )
        )
    return table(rows)


def estimate_json(estimates: Sequence[JobEstimate]) -> dict[str, Any]:
    """The object that `--json` prints for the first of `estimates`; of several, each is under `models`."""
    first = _json(estimates[0])
    return first if len(estimates) == 1 else {**first, "models": [_json(estimate) for estimate in estimates]}


def _json(estimate: JobEstimate) -> dict[str, Any]:
    load, forecast, charge = estimate.load, estimate.forecast, estimate.forecast.charge
    name, exact, error = estimate.tokenizer
    return {
        "job": estimate.job,
        "model": estimate.model,
        "rows": {
            "total": load.rows,
            "answered": load.kept,
            "failed": load.kept_failed,
            "invalid": load.invalid,
            "left": load.left + load.too_long + load.shared,
            "cut_off": load.cut_off,
            "undecided": load.undecided,
        },
        "rows_left": load.left,
        "answered_rows": load.kept,
        "failed_rows": load.kept_failed,
        "invalid_rows": load.invalid,
        "too_long_rows": load.too_long,
        "shared_rows": load.shared + load.kept_shared,
        "context_length": estimate.context_length,
        "tokenizer": {"name": name, "exact": exact, "error": error},
        "prompt_tokens": forecast.prompt_tokens,
        "completion_tokens": _json_range(forecast.completion_tokens, None),
        "cost_usd": None if forecast.cost_usd is None else _json_range(forecast.cost_usd, _USD_PLACES),
        "left_cost_usd": None if forecast.left_cost_usd is None else _json_range(forecast.left_cost_usd, _USD_PLACES),
        "price": None
        if charge is None
        else {
            "input": round(charge.input_usd * _MILLION, _USD_PLACES),
            "output": round(charge.output_usd * _MILLION, _USD_PLACES),
            "source": charge.source,
            "as_of": charge.as_of,
        },
        "duration_s": None if forecast.duration_s is None else _json_range(forecast.duration_s, 3),
        "pilot": None
        if estimate.pilot is None
        else {
            "rows": estimate.pilot.rows,
            "failed_rows": estimate.pilot.failed,
            "seed": estimate.pilot.seed,
            "cost_usd": _rounded(estimate.pilot.cost_usd, _USD_PLACES),
            "level": LEVEL,
            "cost_interval_usd": _json_interval(forecast.cost_interval, _USD_PLACES),
            "completion_tokens_interval": _json_interval(forecast.completion_interval, None),
            "duration_interval_s": _json_interval(forecast.duration_interval, 3),
        },
        "sources": forecast.sources,
        "notes": forecast.notes,
    }


def _rounded(value: float | None, places: int | None) -> float | None:
    return None if value is None else round(value, places)


def _json_range(values: Range, places: int | None) -> dict[str, Any]:
    return {name: _rounded(value, places) for name, value in values._asdict().items()}


def _json_interval(span: Interval | None, places: int | None) -> list[float | None] | None:
    return None if span is None else [_rounded(span.low, places), _rounded(span.high, places)]
