from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.job import Job
from tests.acceptance.servers import Mock, mock_thread
from tests.cli.called import call
from tests.cli.test_estimate import JOB, row, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mock_thread() as server:
        yield server


def test_a_cost_above_it_is_refused_without_a_terminal(mock: Mock) -> None:
    """The worst case counts where no reply was observed; the error has the figures and the way out."""
    write(50, mock.url, JOB + "confirm_above: 0.01\n")  # at most 50 x 200 tokens at $2 a million: $0.02
    called = call("run", "job.yaml")
    assert (called.code, called.out) == (2, "")
    assert re.fullmatch(
        rf"error: chef: 50 rows are to be sent to {mock.host}: about \$0\.0\d+, at most \$0\.02\d+ \(assumed: 10% and"
        r" 50% of the maximum; \$0\.5 in / \$2 out per million \(the job's `price`\)\)\. `confirm_above`"
        r" is \$0\.0100\. There is no terminal to ask on; --yes runs it\.\n",
        called.err,
    ), called.err
    assert mock.stats()["requests"] == 0
    assert not Path("out").exists()


def test_a_cost_below_it_needs_no_confirmation(mock: Mock) -> None:
    """A run that costs less, because of --limit or of what is left, starts at once; --yes starts any."""
    write(50, mock.url, JOB + "confirm_above: 0.01\n")
    assert call("run", "job.yaml", "--limit", "10").code == 0
    assert mock.stats()["billed_rows"] == 10
    # Ten answers of about 85 tokens are known now: the expected cost of 40 more is below.
    assert call("run", "job.yaml").code == 0
    assert mock.stats()["billed_rows"] == 50
    assert call("run", "job.yaml", "--set", "confirm_above=0").code == 0  # nothing is left
    called = call("run", "job.yaml", "--set", "output.path=y.parquet", "--set", "confirm_above=0.001", "--yes")
    assert called.code == 0
    assert mock.stats()["requests"] == 100


def test_an_unknown_cost_needs_confirmation(mock: Mock) -> None:
    """Without a price the cost cannot be compared with it."""
    write(5, mock.url, JOB.replace("price: {input: 0.5, output: 2}\n", "confirm_above: 1000\n"))
    called = call("run", "job.yaml")
    assert called.code == 2
    assert called.err == (
        f"error: chef: 5 rows are to be sent to {mock.host}, at an unknown cost. `confirm_above` is $1,000.00."
        " There is no terminal to ask on; --yes runs it.\n"
    )


def test_on_a_terminal_it_asks(tmp_path: Path, mock: Mock) -> None:
    """A real process asks; n sends nothing and is exit 2, y runs the job."""
    folder = tmp_path / "job"
    folder.mkdir()
    job = Job(folder)
    job.write([row(number) for number in range(6)], endpoint__base_url=mock.url, confirm_above=0)
    for answer, code, requests in (("n", 2, 0), ("y", 0, 6)):
        terminal = job.terminal(columns=120)
        terminal.shows("Run it? [y/N]")
        terminal.type(f"{answer}\n")
        ended, screen = terminal.end()
        assert (ended, mock.stats()["requests"]) == (code, requests), screen
