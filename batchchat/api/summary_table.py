"""A run's summary as a small HTML table, for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from batchchat.text import numbers
from batchchat.text.numbers import shown_path

__all__ = ["html_text", "summary_table"]


def summary_table(summary: Mapping[str, Any], path: Path, stopped: str | None) -> str:
    """The `summary` of a run whose output is at `path`, as HTML; `stopped` is why it ended early."""
    lines = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in _lines(summary, path, stopped)
    )
    return f"<table><caption>{escape(str(summary['text']))}</caption><tbody>{lines}</tbody></table>"


def html_text(text: str) -> str:
    """A `text` whose columns are aligned, as HTML."""
    return f"<pre>{escape(text)}</pre>"


def _lines(summary: Mapping[str, Any], path: Path, stopped: str | None) -> Iterator[tuple[str, str]]:
    rows, cost, tokens = summary["rows"], summary["cost_usd"], summary["tokens"] or {}
    if stopped:
        yield "stopped", f"{stopped} The same call picks up where it stopped."
    names = ("answered", "failed", "invalid", "left", "undecided")
    yield "rows", " · ".join(f"{numbers.count(rows[name])} {name}" for name in names if rows and rows[name])
    if failures := summary["failures"]:
        yield "failures", " · ".join(f"{numbers.count(count)} {kind}" for kind, count in failures.items())
    usage = [(tokens.get("prompt_tokens"), "in"), (tokens.get("completion_tokens"), "out")]
    if any(count is not None for count, _ in usage):
        yield "tokens", " · ".join(f"{numbers.count(count)} {name}" for count, name in usage if count is not None)
    usd = cost and cost["known"]
    yield "cost", numbers.UNKNOWN if usd is None else numbers.money(usd) + (" (mock)" if summary["mock"] else "")
    yield "output", shown_path(path)
