"""`batchchat prices`."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, say, style
from batchchat.errors import UsageError

__all__ = ["prices", "today"]


@click.command(
    epilog="Example:\n\n    batchchat prices microsoft/WizardLM-2-8x22B",
)
@click.argument("model", required=False, metavar="[MODEL]")
@click.option("--file", "file", type=click.Path(path_type=Path), help="Show or check a price table of your own.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV, the format of a table of your own.")
def prices(model: str | None, *, file: Path | None, as_json: bool, as_csv: bool) -> None:
    """Show the price table, which is used where neither the job nor the endpoint has a price.

    Each price applies to its host only, and has a source and a date. Exit codes: 0 shown, 2 MODEL is not in the table.
    """
    with guarded():
        if as_json and as_csv:
            raise UsageError("--json and --csv exclude each other.")
        from batchchat import lossless_json
        from batchchat.pricing.price_table import builtin_table, read_table
        from batchchat.reporting.prices import old_prices_warning, price_csv, price_json, price_text

        table = builtin_table() if file is None else read_table(file, str(file))
        entries = list(table.entries) if model is None else table.find_all(model)
        if model is not None and not entries:
            raise UsageError(_unknown(model, table.nearest_names(model)))
        day = today()
        if (warning := old_prices_warning(entries, day)) is not None:
            say(f"{style('warning:', 'yellow')} {warning}")
        if as_json:
            put(lossless_json.dumps({"prices": price_json(entries, day)}).decode())
        else:
            put(price_csv(entries) if as_csv else price_text(entries))


def today() -> date:
    """The current day in UTC, for the age of prices."""
    return datetime.now(UTC).date()


def _unknown(model: str, nearest_names: list[str]) -> str:
    names = " or ".join(filter(None, [", ".join(nearest_names[:-1]), *nearest_names[-1:]]))
    suggestion = f" The nearest are {names}." if len(nearest_names) > 1 else f" Did you mean {names}?" if names else ""
    return (
        f"No price is known for {model}.{suggestion} Set `price` in the job, or name a table of your own in `prices`."
    )
