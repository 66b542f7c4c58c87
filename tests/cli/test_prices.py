"""`batchchat prices`."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from batchchat.pricing.price_table import builtin_table, read_table
from tests.cli.called import call


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchchat.cli.prices.today", lambda: date(2026, 11, 25))


def test_one_model() -> None:
    """Its price, host and context, with their source and date; the owner before the name may be left out."""
    called = call("prices", "wizardlm-2-8x22b")
    assert (called.code, called.err) == (0, "")
    assert called.out == (
        "model                       host                  in    out  cached  context  as of\n"
        "microsoft/WizardLM-2-8x22B  api.deepinfra.com  $0.48  $0.48       –   65,536  2026-11-22\n"  # noqa: RUF001
        "\n"
        "USD per million tokens\n"
        "from  deepinfra.com page of the model, 2026-11-22\n"
    )


def test_json() -> None:
    """One object, with prices as numbers and unknown as null."""
    assert json.loads(call("prices", "microsoft/WizardLM-2-8x22B", "--json").out) == {
        "prices": [
            {
                "model": "microsoft/WizardLM-2-8x22B",
                "host": "api.deepinfra.com",
                "input": 0.48,
                "output": 0.48,
                "cached_input": None,
                "context_length": 65536,
                "source": "deepinfra.com page of the model",
                "as_of": "2026-11-22",
                "old": False,
            }
        ]
    }


def test_an_unknown_model() -> None:
    """Exit 2, with the nearest names and the way out."""
    called = call("prices", "gpt4o-mini")
    assert (called.code, called.out) == (2, "")
    assert called.err == (
        "error: No price is known for gpt4o-mini. The nearest are gpt-4o-mini, gpt-4.1-mini or gpt-5-mini. Set `price`"
        " in the job, or name a table of your own in `prices`.\n"
    )
    assert call("prices", "xyzzy").err == (
        "error: No price is known for xyzzy. Set `price` in the job, or name a table of your own in `prices`.\n"
    )


def test_old_prices_give_a_warning() -> None:
    """On stderr, so that stdout can be piped: how many, which is the oldest, and what to do."""
    called = call("prices", "gpt-4o")
    assert called.code == 0
    assert called.err == (
        "warning: 1 price is older than 180 days (gpt-4o: 2025-08-15) and may have changed. Look up the current"
        " prices and set them in a table of your own (`prices` in the job).\n"
    )


def test_the_csv_can_be_used_by_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output is read back as the same table, and shown with --file."""
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(call("prices", "--csv").out)
    assert read_table(Path("mine.csv"), "mine.csv").entries == builtin_table().entries
    assert call("prices", "gpt-4o", "--file", "mine.csv").out == call("prices", "gpt-4o").out


def test_a_file_with_a_wrong_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is exit 2, and the error names file, line and field."""
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("model,input,output,source,as_of\nm,1,2 USD,me,2026-11-01\n")
    called = call("prices", "--file", "mine.csv")
    assert (called.code, called.out) == (2, "")
    assert called.err == "error: mine.csv:2: `output` is 2 USD. It takes USD per million tokens, 0 or more.\n"


def test_json_and_csv_exclude_each_other() -> None:
    """Both together are an error."""
    assert call("prices", "--json", "--csv").err == "error: --json and --csv exclude each other.\n"
