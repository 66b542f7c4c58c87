"""A run's summary as a small HTML table, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from batchchat.text import numbers
from batchchat.text.numbers import shown_path

__all__ = ["html_text", "summary_table"]


def summary_table(summary: Mapping[str, Any], path: Path, stopped: str | None) -> str:
    """The `summary` of a run whose output is at `path`, as HTML; `stopped` is why it ended early and how it goes on."""
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in _lines(summary, path, stopped)
    )
    head = f'<tr><th colspan="2" style="text-align:left">{escape(str(summary["text"]))}</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{lines}</tbody></table>"


def html_text(text: str) -> str:
    """A `text` whose columns are aligned, as HTML."""
    return f"<pre>{escape(text)}</pre>"


def _lines(summary: Mapping[str, Any], path: Path, stopped: str | None) -> Iterator[tuple[str, str]]:
    """The name and the text of each line; what the summary doesn't know has none."""
    if stopped:
        yield "stopped", stopped
    rows, cost, tokens = summary["rows"] or {}, summary["cost_usd"] or {}, summary["tokens"] or {}
    yield "rows", _counts((rows.get(name), name.replace("_", " ")) for name in _ROWS)
    if failures := summary["failures"]:
        yield "failures", _counts((count, kind) for kind, count in failures.items())
    yield "tokens", _counts([(tokens.get("prompt_tokens"), "in"), (tokens.get("completion_tokens"), "out")])
    yield "cost", _cost(cost, summary)
    yield "output", shown_path(path)


_ROWS = ("answered", "failed", "invalid", "left", "undecided", "cut_off")


def _counts(parts: Iterable[tuple[int | None, str]]) -> str:
    return " · ".join(f"{numbers.count(count)} {name}" for count, name in parts if count) or "0"


def _cost(cost: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    usd, unknown, possibly = (cost.get(name) for name in ("known", "unknown_rows", "possibly_billed_at_most"))
    parts = [numbers.UNKNOWN if usd is None else numbers.money(usd) + (" (mock)" if summary["mock"] else "")]
    if unknown:
        parts.append(f"unknown for {numbers.rows(unknown)}")
    if attempts := summary["possibly_billed_attempts"]:
        at_most = "" if possibly is None else f", at most {numbers.money(possibly)}"
        parts.append(f"{numbers.quantity(attempts, 'attempt')} possibly billed{at_most}")
    return " · ".join(parts)
