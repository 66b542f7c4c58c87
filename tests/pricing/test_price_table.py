"""The price table: the package's own is consistent, and a user's is read or refused by file, line and field."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.errors import UsageError
from batchchat.pricing.price_table import COLUMNS, MAX_AGE, PriceTable, builtin_table, read_table

HEAD = ",".join(COLUMNS)
GOOD = "a/model,api.a.com,1.25,2.50,0.125,4096,a.com,2026-11-01"
BUILTIN = builtin_table()


def table(tmp_path: Path, *lines: str, head: str = HEAD) -> PriceTable:
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([head, *lines, ""]))
    return read_table(path, "prices.csv")


def test_the_packages_own() -> None:
    """WizardLM-2-8x22B is the first, as on its page; every entry has a host, a source and a date in the past."""
    first = BUILTIN.find("microsoft/WizardLM-2-8x22B", "api.deepinfra.com")
    assert first is not None
    assert (first.price.input, first.price.output, first.context_length) == (Decimal("0.48"), Decimal("0.48"), 65536)
    assert 20 <= len(BUILTIN.entries) <= 80
    assert len({(entry.model, entry.host) for entry in BUILTIN.entries}) == len(BUILTIN.entries)
    for entry in BUILTIN.entries:
        assert entry.host
        assert entry.source
        assert date(2025, 1, 1) < entry.as_of <= date(2026, 11, 22)
        hit = entry.price.cached_input
        assert hit is None or hit <= entry.price.input


def test_a_price_applies_to_its_host_only() -> None:
    """DeepInfra's is not OpenAI's, nor any host's; case makes no difference."""
    assert BUILTIN.find("microsoft/WizardLM-2-8x22B", "api.openai.com") is None
    assert BUILTIN.find("microsoft/WizardLM-2-8x22B", "") is None
    assert BUILTIN.find("MICROSOFT/wizardlm-2-8x22b", "API.deepinfra.com") is not None


def test_a_users_own(tmp_path: Path) -> None:
    """Columns in any order, optional ones left out; a line with the host wins over any, the last line over others."""
    entry = table(
        tmp_path,
        "2,1,m,me,2026-11-01",
        "4,3,m,me again,2026-11-02",
        head="output,input,model,source,as_of",
    ).find("m", "anywhere")
    assert entry is not None
    assert (str(entry.price.input), str(entry.price.output), entry.source) == ("3", "4", "me again")
    both = table(tmp_path, "m,,1,1,,,any,2026-11-01", "m,h,2,2,,,host,2026-11-01", "", "m,,3,3,,,any,2026-11-01")
    assert [entry.source for entry in (both.find("m", "h"), both.find("m", "x")) if entry] == ["host", "any"]
    assert str(table(tmp_path, GOOD).entries[0].price.input) == "1.25"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (GOOD.replace("1.25", "cheap"), "`input` is cheap. It takes USD per million tokens, 0 or more."),
        (GOOD.replace("2.50", "-1"), "`output` is -1. It takes USD per million tokens, 0 or more."),
        (GOOD.replace("2.50", "NaN"), "`output` is NaN. It takes USD per million tokens, 0 or more."),
        (GOOD.replace("0.125", "x"), "`cached_input` is x. It takes USD per million tokens, 0 or more."),
        (GOOD.replace("4096", "4k"), "`context_length` is 4k. It takes a whole number of tokens above 0."),
        (GOOD.replace("4096", "0"), "`context_length` is 0. It takes a whole number of tokens above 0."),
        (GOOD.replace("2026-11-01", "1.11.2026"), "`as_of` is 1.11.2026. It takes a day such as 2026-11-22."),
        (GOOD.replace("a/model", ""), "`model` is empty."),
        (GOOD.replace("a.com,2", ",2"), "`source` is empty."),
        (GOOD + ",more", f"the line has 9 fields, and the header 8: {HEAD}."),
        ('"a', "this is not a line of CSV: unexpected end of data."),
    ],
)
def test_a_wrong_line(line: str, message: str, tmp_path: Path) -> None:
    """The error names file, line and field, and what the field takes."""
    with pytest.raises(UsageError) as refused:
        table(tmp_path, GOOD, line)
    assert str(refused.value) == f"prices.csv:3: {message}"


def test_a_wrong_header(tmp_path: Path) -> None:
    """An unknown column, and a missing one."""
    with pytest.raises(UsageError) as refused:
        table(tmp_path, head=f"{HEAD},cost")
    assert str(refused.value) == f"prices.csv:1: `cost` is not a column of a price table. It has {', '.join(COLUMNS)}."
    with pytest.raises(UsageError) as refused:
        table(tmp_path, head=HEAD.replace("as_of", "source"))
    assert str(refused.value) == f"prices.csv:1: the column `as_of` is missing. The header is {HEAD}."


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    """It is missing or not text: the error names the key `prices` or the line."""
    with pytest.raises(UsageError) as refused:
        read_table(tmp_path / "none.csv", "none.csv")
    assert str(refused.value) == "`prices` is none.csv, which can't be read: No such file or directory."
    path = tmp_path / "latin.csv"
    path.write_bytes(f"{HEAD}\n\xe9".encode("latin-1"))
    with pytest.raises(UsageError) as refused:
        read_table(path, "latin.csv")
    assert str(refused.value) == "latin.csv:2: this is not UTF-8. Save the file as UTF-8."


def test_an_entry_grows_old() -> None:
    """After 180 days."""
    entry = BUILTIN.entries[0]
    assert not entry.is_old(entry.as_of + MAX_AGE)
    assert entry.is_old(entry.as_of + MAX_AGE + timedelta(days=1))


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("gpt4o", "gpt-4o"),
        ("microsoft/WizardLM-2-8x22", "microsoft/WizardLM-2-8x22B"),
        ("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("xyzzy", None),
    ],
)
def test_the_nearest_names(model: str, meant: str | None) -> None:
    """Similar names for a mistyped one; none where no name is similar."""
    near = BUILTIN.nearest_names(model)
    assert meant in near if meant is not None else near == []
    assert len(near) <= 3
