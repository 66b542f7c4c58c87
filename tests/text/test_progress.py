"""Events as a person follows them."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from batchchat.core import events
from batchchat.text.event_lines import text_of
from batchchat.text.progress import Bar, Lines, log_file

STARTED = events.Started(
    name="chef", model="m", host="api.deepinfra.com", concurrency=1200, source="messages from a.jsonl",
    recognised=None, output="out/chef.parquet",
)  # fmt: skip
PROGRESS = events.Progress(
    elapsed_s=131.0, total=12477, estimated=False, answered=8238, failed=2, invalid=0, done=8240, in_flight=200,
    recovering=0, ceiling=200, cost_usd=Decimal("4.12"), expected_cost_usd=Decimal("6.3"),
    tokens_per_s=31_000.0, rows_per_s=7.3, eta_s=580.0,
)  # fmt: skip
FINISHED = events.Finished(0, "", "", 12477, 0, 0, 0, Decimal("6.2841"))

TEXTS = [
    (STARTED, "chef · m at api.deepinfra.com · up to 1,200 in flight\ninput  messages from a.jsonl"),
    (
        replace(STARTED, recognised="messages, from the column `messages` of the first row"),
        "chef · m at api.deepinfra.com · up to 1,200 in flight\n"
        "input  messages from a.jsonl (recognised: messages, from the column `messages` of the first row)",
    ),
    (
        events.Planned(
            total=12477, kept=8112, kept_changed=0, resend_changed=41, retry_failed=0, new=4324, invalid=0, gone=0
        ),
        "resume 8,112 finished before are kept · 41 are sent again (request changed) · 4,324 new",
    ),
    (
        events.Planned(total=9, kept=3, kept_changed=2, resend_changed=0, retry_failed=1, new=0, invalid=5, gone=4),
        "resume 3 finished before are kept (2 of them answered another request) · 1 failed before is tried again"
        " · 5 invalid · 4 gone from the input",
    ),
    (
        events.Replayed(("journal-000001.jsonl: hurt",), 128),
        "journal journal-000001.jsonl: hurt\n"
        "journal a run before was killed: up to 128 requests were in flight then or not yet kept, and may have been"
        " billed",
    ),
    (
        replace(STARTED, concurrency=None),
        "chef · m at api.deepinfra.com · as many in flight as the endpoint allows\ninput  messages from a.jsonl",
    ),
    (
        events.LimitsRead(200, 1_000_000, 200),
        "limits the endpoint allows 200 in flight and 1,000,000 tokens a minute",
    ),
    (events.LimitsRead(None, 500, 200), "limits the endpoint allows 500 tokens a minute: up to 200 in flight"),
    (events.LimitsRead(50_000, None, 10_000), "limits the endpoint allows 50,000 in flight: up to 10,000 in flight"),
    (
        events.LimitsRead(None, None, 200, "HTTP 404"),
        "limits the endpoint doesn't say what it allows (HTTP 404): up to 200 in flight",
    ),
    (events.CeilingLowered(200, 140, 31, 5.0), "rate limited: 200 -> 140 in flight (31 refusals in 5.0s)"),
    (events.CeilingLowered(2, 1, 1, 0.5), "rate limited: 2 -> 1 in flight (1 refusal in 0.5s)"),
    (events.CeilingRaised(10, 1000), "grown back: 10 -> 1,000 in flight"),
    (events.OtherModelServed("a", "b"), "the endpoint serves b for a; the price may differ"),
    (
        events.OtherTierServed("flex", "default"),
        "the endpoint serves tier default where flex was asked for; the price differs",
    ),
    (
        events.GatewayTimeoutFound(504, 60.2, 5),
        "5 requests ended with HTTP 504 after about 1m 00s each: a gateway before the endpoint cuts longer replies,"
        " which may be billed all the same. Lower `params.max_tokens`",
    ),
    (
        events.PromptTruncated("r7", 210_000, 4096),
        "row r7 was answered after 4,096 prompt tokens, too few for its 210 kB of text: the endpoint seems to cut long"
        " prompts without saying so. Raise its context (Ollama: num_ctx)",
    ),
    (
        events.ContextLimitFound(4096, 5),
        "5 rows of different length each used exactly 4,096 tokens in all: the endpoint's context ends there, and it"
        " cuts prompts or replies without saying so. Raise it (Ollama: num_ctx)",
    ),
    (
        events.Environment("0.1", "Python 3.11 · Linux", 7, "box", "a.yaml", "o.parquet", "64 in flight at most"),
        "batchchat 0.1 · Python 3.11 · Linux · pid 7 on box\njob    a.yaml -> o.parquet\nrules  64 in flight at most",
    ),
    (events.FirstFailure("bad_request", "r1", "no"), "first bad_request: row r1: no"),
    (
        events.RowOverdue("r9", 41.0, 10.0, again=True),
        "row r9 is the last and has run 41s, where 99 of 100 answers took at most 10.0 s: it is sent again, and may be"
        " billed twice",
    ),
    (
        events.RowOverdue("r9", 161.0, 10.0, again=False),
        "row r9 is the last and has run 2m 41s, where 99 of 100 answers took at most 10.0 s: it is given up",
    ),
    (
        events.Draining("SIGTERM", 64, 30.0),
        "SIGTERM: nothing more is sent, 64 in flight get up to 30s; once more stops at once",
    ),
    (
        events.Draining("`budget.stop_at`", 64, 600.0, by_signal=False),
        "`budget.stop_at`: nothing more is sent, 64 in flight get up to 10m 00s",
    ),
    (
        events.Budgeted(Decimal(20), Decimal(0), Decimal(0), 0, 4324, Decimal("61.2"), learning=True),
        "budget at most $20.0000 · 4,324 to send cost at most $61.2000"
        " · a few at a time until it is seen what they really cost",
    ),
    (
        events.Budgeted(Decimal(20), Decimal("4.12"), Decimal("0.01"), 3, 0, Decimal(0), learning=False),
        "budget at most $20.0000 · $4.1200 paid before, up to $0.0100 more may have been"
        " · what 3 answers cost before is unknown and not in it",
    ),
    (
        events.PriceRatioRaised(Decimal("1.528"), Decimal(0)),
        "the endpoint charges up to 1.53 times the known price, and is reckoned with so",
    ),
    (
        events.PriceRatioRaised(Decimal(3), Decimal("0.002")),
        "the endpoint charges up to 3.00 times the known price, and is reckoned with so; answers cost $0.0020 more"
        " than the most they could by it",
    ),
]


@pytest.mark.parametrize(("event", "expected"), TEXTS)
def test_each_event_has_its_words(event: events.Event, expected: str) -> None:
    """A person reads exactly this."""
    assert text_of(event) == expected


def test_an_outage_is_told_from_when_to_when() -> None:
    """Since when, what was seen, when it is asked again, how much is left; then how long it was and what it took."""
    down = events.EndpointDown(18_134.0, "HTTP 503", 15.4, 4011)
    back = events.EndpointUp(18_134.0, 18_857.0, 723.0, 9)
    assert text_of(down, utc=True) == (
        "endpoint down since 05:02:14Z (HTTP 503): waiting, next probe in 15s, 4,011 rows left"
    )
    assert text_of(replace(down, left=1), utc=True) == (
        "endpoint down since 05:02:14Z (HTTP 503): waiting, next probe in 15s, 1 row left"
    )
    assert text_of(replace(down, left=None), utc=True) == (
        "endpoint down since 05:02:14Z (HTTP 503): waiting, next probe in 15s"
    )
    assert text_of(back, utc=True) == (
        "endpoint is back after 12m 03s (05:02:14Z to 05:14:17Z, 9 requests sent meanwhile)"
    )
    assert str(text_of(replace(back, probes=1))).endswith(", 1 request sent meanwhile)")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({}, "200 in flight"),
        ({"max_ceiling": 200}, "200 in flight"),
        ({"max_ceiling": 200, "ceiling": 140, "in_flight": 138}, "138/140 in flight"),
        ({"held_s": 12.4}, "held 12s by the endpoint"),
        ({"held_s": 0.4}, "200 in flight"),
        ({"down_since": 1.0, "probe_in_s": 31.0, "held_s": 9.0}, "endpoint down, next probe in 31s"),
        ({"down_since": 1.0}, "endpoint down, probing"),
    ],
)
def test_the_line_shows_what_holds_it(state: dict[str, Any], shown: str) -> None:
    """The number in flight, under a ceiling that was lowered, or why nothing is sent."""
    lines: list[str] = []
    Lines(lines.append)(replace(PROGRESS, **state))
    assert f" · {shown} · " in lines[0]


def test_growth_is_told_in_the_log_alone() -> None:
    """It is of interest afterwards; meanwhile the line shows it."""
    stream, lines = io.StringIO(), list[str]()
    log_file(stream)(events.CeilingRaised(10, 20))
    Lines(lines.append)(events.CeilingRaised(10, 20))
    bar = io.StringIO()
    Bar(bar)(events.CeilingRaised(10, 20))
    assert stream.getvalue().endswith("Z grown back: 10 -> 20 in flight\n")
    assert (lines, bar.getvalue()) == ([], "")


def test_log_lines_come_once_a_minute_and_at_the_end() -> None:
    """A pipe gets a line a minute, and the last state before the end; nothing in between."""
    lines: list[str] = []
    tell = Lines(lines.append)
    for tenth in range(1300):
        tell(replace(PROGRESS, elapsed_s=tenth / 10))
    assert [line[:5] for line in lines] == ["01:00", "02:00"]
    tell(PROGRESS)
    tell(FINISHED)
    assert lines[-1] == (
        "02:11 8,240/12,477 rows · 7.3/s · $4.1200 of about $6.3000 · 2 failed · 200 in flight · 31k tok/s"
        " · 9m 40s left"
    )


def test_an_estimated_total_says_so() -> None:
    """While the input is still being read its size is `about`."""
    lines: list[str] = []
    tell = Lines(lines.append)
    tell(replace(PROGRESS, estimated=True, total=12500, eta_s=None))
    assert lines[0].startswith("02:11 8,240/about 12,500 rows")


def test_the_last_row_is_named() -> None:
    """A bar that stands still says what it waits for, and for how long at most."""
    lines: list[str] = []
    row = events.AwaitedRow("r9", 12.0, 41.0)
    Lines(lines.append)(replace(PROGRESS, awaited=row, recovering=1, in_flight=1))
    assert " · waiting for row r9, 12s of at most 41s · 1 in flight" in lines[0]


def test_the_last_row_is_named_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns the row and its time are still to be read, and an id that is a hash is shortened."""
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    bar = Bar(stream)
    row = events.AwaitedRow("0123456789abcdef" * 2, 12.0, 41.0)
    bar(
        replace(
            PROGRESS, total=300, done=299, answered=299, failed=0, in_flight=1, cost_usd=Decimal("0.1"), awaited=row
        )
    )
    bar(FINISHED)
    assert "$0.1000 · waiting for 0123456789a…, 12s" in stream.getvalue()


def test_the_reason_of_a_stop_is_logged() -> None:
    """run.log ends with the exit code and why, stamped with the time."""
    stream = io.StringIO()
    log_file(stream)(replace(FINISHED, exit_code=5, text="the key was refused: Ada", reason="unauthorized"))
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == ["end    12,477 answered · $6.2841", "exit 5: unauthorized"]


def test_the_log_has_failures_and_retries_by_kind() -> None:
    """Each minute run.log says what failed and what was tried again; a terminal's line stays short."""
    stream, lines = io.StringIO(), list[str]()
    event = replace(PROGRESS, failures={"timeout": 1, "schema": 0}, retries={"timeout": 2, "rate_limit": 1900})
    log_file(stream)(event)
    Lines(lines.append)(event)
    assert stream.getvalue().endswith("left · failed: 1 timeout · tried again: 1,900 rate_limit, 2 timeout\n")
    assert lines[0].endswith("9m 40s left")


def test_the_log_ends_with_the_sum() -> None:
    """The end of a run is in its log whatever the exit code, with what is left where that is known."""
    stream = io.StringIO()
    tell = log_file(stream)
    tell(events.Finished(0, "", "", 12474, 3, 3, 0, None))
    tell(events.Finished(143, "SIGTERM", "SIGTERM", 5, 0, 0, None, Decimal("0.5")))
    tell(events.Finished(143, "SIGTERM", "SIGTERM", 5, 0, 0, 7, Decimal("0.5")))
    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "end    12,474 answered · 3 failed · 3 invalid · unknown",
        "exit 0",
        "end    5 answered · an unknown number left · $0.5000",
        "exit 143: SIGTERM",
        "end    5 answered · 7 left · $0.5000",
        "exit 143: SIGTERM",
    ]


@pytest.mark.parametrize(
    ("columns", "money"),
    [
        ("120", "$4.1200 of about $6.3000 · 2 failed · 200 in flight · 31k tok/s"),
        ("80", "$4.1200 · 2 failed · 200 in flight"),
    ],
)
def test_the_bar_stays_one_line_and_is_closed(monkeypatch: pytest.MonkeyPatch, columns: str, money: str) -> None:
    """The bar rewrites its line, other events scroll above it, and what it last said stays; a narrow one is brief."""
    monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    bar = Bar(stream)
    bar(STARTED)
    bar(replace(PROGRESS, total=None, estimated=True))
    bar(PROGRESS)
    bar(events.OtherModelServed("a", "b{}"))
    bar(FINISHED)
    text = stream.getvalue()
    assert text.startswith("chef · m at")
    assert " 66%|" in text
    assert f"8,240/12,477 [02:11<09:40, 7.3 rows/s]  {money}" in text
    assert "the endpoint serves b{} for a" in text
    assert text.endswith("\n")


def test_a_cap_stands_beside_the_cost() -> None:
    """The line says what was spent, what it is thought to come to, and what it may come to at most."""
    capped = replace(PROGRESS, max_cost_usd=Decimal(20), elapsed_s=60.0)
    lines: list[str] = []
    Lines(lines.append)(capped)
    assert "$4.1200 of about $6.3000, at most $20.0000 · " in lines[0]
    Lines(lines.append)(replace(capped, expected_cost_usd=None))
    assert "$4.1200 of at most $20.0000 · " in lines[1]


def test_the_pace_of_money_is_told_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines and a wide bar say what an hour costs; a narrow bar leaves it out, and nothing is said of nothing."""
    paced = replace(PROGRESS, cost_per_hour_usd=1.2, elapsed_s=60.0)
    lines: list[str] = []
    Lines(lines.append)(paced)
    assert "$4.1200 of about $6.3000 · $1.20/h · 2 failed" in lines[0]
    Lines(lines.append)(replace(paced, cost_per_hour_usd=0.0))
    assert "/h" not in lines[1]
    for columns, told in (("120", True), ("80", False)):
        monkeypatch.setenv("COLUMNS", columns)
        stream = io.StringIO()
        Bar(stream)(paced)
        assert ("$1.20/h" in stream.getvalue()) is told
