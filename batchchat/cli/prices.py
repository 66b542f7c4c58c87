"""`batchchat prices`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from batchchat.cli.boundary import guarded, put, say, style
from batchchat.errors import UsageError

__all__ = ["prices", "today"]


@click.command(
    epilog="Example:\n\n    batchchat prices microsoft/WizardLM-2-8x22B",
    short_help="Show the price table.",
)
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--file", "own", type=click.Path(path_type=Path), help="A price table of your own, to look at or check.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, the form of a table of your own.")
def prices(model: str | None, *, own: Path | None, as_json: bool, as_csv: bool) -> None:
    """Show what models cost by the table that is used where neither the endpoint nor the job says so.

    Each price holds at its host, and has a source and a day. Exit codes: 0 shown, 2 MODEL is not in the table.
    """
    with guarded():
        if as_json and as_csv:
            raise UsageError("--json and --csv exclude each other.")
        from batchchat import lossless_json
        from batchchat.pricing.price_table import builtin_table, read_table
        from batchchat.report.prices import old_words, price_csv, price_forms, price_text

        table = builtin_table() if own is None else read_table(own, str(own))
        entries = list(table.entries) if model is None else table.find_all(model)
        if model is not None and not entries:
            raise UsageError(_unknown(model, table.nearest_names(model)))
        now = today()
        if (warning := old_words(entries, now)) is not None:
            say(f"{style('warning:', 'yellow')} {warning}")
        if as_json:
            put(lossless_json.dumps({"prices": price_forms(entries, now)}).decode())
        else:
            put(price_csv(entries) if as_csv else price_text(entries))


def today() -> date:
    """The day, by which a price is old."""
    return datetime.now(UTC).date()


def _unknown(model: str, near: list[str]) -> str:
    listed = " or ".join(filter(None, [", ".join(near[:-1]), near[-1] if near else ""]))
    meant = f" The nearest are {listed}." if len(near) > 1 else f" Did you mean {listed}?" if near else ""
    return f"No price is known for {model}.{meant} `price` in a job sets one; `prices` names a table of your own."
