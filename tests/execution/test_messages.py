"""Each sentence that says why a run was refused or stopped, to the letter; other tests look for a phrase of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.core.attempt import Action, Attempt, Failure, MaxUsage, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key, Row
from batchchat.core.events import Budgeted
from batchchat.execution import messages
from batchchat.execution.disposition import Disposition
from batchchat.execution.plan import CostBound, PlanCounts
from batchchat.execution.signals import Signals
from batchchat.job import load_job
from batchchat.job.spec import JobSpec
from batchchat.policy.budget import SPENT, Budget, PriceRatio
from batchchat.policy.circuit_breaker import OUTAGE
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from batchchat.store.ledger import Ledger
from tests.dispatch.made import Steps
from tests.store.given import answered

JOB = """\
input: {path: in.jsonl}
model: m
endpoint: {base_url: "https://example.org/v1"ENDPOINT}
output: {path: out.parquet}
"""


def job(folder: Path, more: str = "", endpoint: str = "", **environ: str) -> JobSpec:
    path = folder / "job.yaml"
    path.write_text(JOB.replace("ENDPOINT", endpoint) + more)
    return load_job(path, environ=environ)


def halt(
    reason: str, kind: ErrorKind = ErrorKind.BAD_REQUEST, text: str = "the reply", status: int | None = 400
) -> Halt:
    """A stop at `reason`, shown by an attempt that failed with `kind`; an outage since 05:02:14 UTC."""
    request = Request(Key("r1"), 0, "m", [], b"{}", 1)
    attempt = Attempt(request, Verdict(Action.STOP_RUN, kind=kind), 0, 0, 1, status, failure=Failure(kind, text))
    return Halt(reason, attempt, since=18_134.0 if reason == OUTAGE else None)


def ledger(folder: Path, *costs: float, unsure: float | None = None) -> Ledger:
    """What the journal adds up to after answers of `costs`, and one attempt that may have cost `unsure`."""
    found = Ledger(folder)
    for number, cost in enumerate(costs):
        maybe = {} if unsure is None or number else {"possibly_billed": 1, "possibly_billed_usd": unsure}
        found.apply(0, {**answered(f"r{number}", cost_usd=cost, **maybe)})
    return found


def test_an_input_without_a_good_row(tmp_path: Path) -> None:
    """The first bad row is named, where there is one."""
    assert messages.nothing_good(job(tmp_path), "in.jsonl:1: `messages` is empty.") == (
        "in.jsonl has no row that can be sent. The first: in.jsonl:1: `messages` is empty."
        " Check `input.format`, `input.column` and `input.id`."
    )
    assert messages.nothing_good(job(tmp_path), None) == (
        "in.jsonl has no row that can be sent. Check `input.format`, `input.column` and `input.id`."
    )


def test_an_output_that_would_be_read() -> None:
    """Both are named as they stand in the job."""
    assert messages.own_input("data/out.parquet", "data/*") == (
        "data/out.parquet would be read as input: `input.path` has data/*. Give `output.path` a place outside of that."
    )


def test_bad_rows_under_strict(tmp_path: Path) -> None:
    """The first are shown, the others counted."""
    counts = PlanCounts(
        invalid=3, first_invalid=["in.jsonl:3: `messages` is empty", "in.jsonl:4: the line is not JSON"]
    )
    assert messages.strict_refusal(job(tmp_path), counts) == (
        "3 rows of in.jsonl can't be sent, and --strict sends nothing then:\n"
        "  in.jsonl:3: `messages` is empty\n"
        "  in.jsonl:4: the line is not JSON\n"
        "  and 1 more\n"
        "Fix them, or run without --strict to send the others."
    )


def test_the_mock_and_the_real(tmp_path: Path) -> None:
    """Which of the two answered the rows there are, and which is asked now."""
    assert messages.mixed_mock(job(tmp_path), 2) == (
        "out.parquet holds 2 rows answered by the mock, and this job asks example.org."
        " Name another `output.path`, or set them aside with `run --fresh`."
    )
    path = tmp_path / "mock.yaml"
    path.write_text(JOB.replace("https://example.org/v1", "mock").replace("ENDPOINT", ""))
    assert messages.mixed_mock(load_job(path, environ={}), 1) == (
        "out.parquet holds 1 row answered by a real endpoint, and this job asks the mock."
        " Name another `output.path`, or set them aside with `run --fresh`."
    )


@pytest.mark.parametrize(
    ("count", "usd", "unknown", "sentence"),
    [
        (1, "0.00001", 0, "1 row was answered, for <$0.0001, before its conversation changed."),
        (5, "1.5", 0, "5 rows were answered, for $1.5000, before their conversation (1) changed."),
        (
            5,
            "1.5",
            2,
            "5 rows were answered, for $1.5000 and an unknown sum for 2 of them, before their conversation"
            " (1) changed.",
        ),
        (2, "0", 2, "2 rows were answered, for an unknown sum, before their conversation (1) changed."),
    ],
)
def test_answered_rows_that_changed(count: int, usd: str, unknown: int, sentence: str) -> None:
    """How many, and what they had cost as far as that is known."""
    counts = PlanCounts(changed_cost_usd=Decimal(usd), changed_unknown_cost=unknown)
    counts.rows[Disposition.UNDECIDED] = count
    counts.changed_parts["conversation"] = 1
    assert messages.changed_rows_question(counts) == sentence


STOPPED = [
    (
        halt(ALL_FAIL_ALIKE, text="body.x: not allowed"),
        "the first 50 rows failed with the same error, bad_request: body.x: not allowed. Fix the cause and continue"
        " with --retry-failed.",
    ),
    (
        halt(NOW_FAIL_ALIKE, ErrorKind.FORBIDDEN, "Not for you"),
        "50 consecutive rows failed with the same error, forbidden: Not for you. Fix the cause and continue with"
        " --retry-failed.",
    ),
    (
        halt("refused", ErrorKind.UNAUTHORIZED, "Unauthorized", 401),
        "example.org refused a request without a key (HTTP 401): Unauthorized. Name the variable that holds one in"
        " `endpoint.api_key_env`.",
    ),
    (
        halt("refused", ErrorKind.QUOTA, "no money", 402),
        "example.org will not serve this account for now (HTTP 402): no money. Top it up, or raise its limit.",
    ),
    (
        halt("refused", ErrorKind.FORBIDDEN, "Not for you", 403),
        "example.org refuses a request for `m` (HTTP 403): Not for you. It is sent without a key.",
    ),
    (
        halt("refused", ErrorKind.NOT_FOUND, "no such model", 404),
        "example.org does not know `m` or the address (HTTP 404): no such model. Check `model` and"
        " `endpoint.base_url`.",
    ),
    (
        halt("refused", ErrorKind.BAD_RESPONSE, "a web page in place of JSON", 200),
        "example.org is no chat completions endpoint (HTTP 200): a web page in place of JSON. Check"
        " `endpoint.base_url`; it usually ends in /v1 or /v1/openai.",
    ),
    (
        halt("refused", ErrorKind.CONNECTION, "no TLS connection", None),
        "no connection to example.org: no TLS connection. Check `endpoint.base_url` and SSL_CERT_FILE. A server that"
        " speaks plain HTTP needs http:// in place of https://.",
    ),
    (halt("refused", ErrorKind.RATE_LIMIT, "no more", 429), "example.org refuses (HTTP 429): no more"),
]


@pytest.mark.parametrize(("stop", "sentence"), STOPPED)
def test_an_endpoint_that_stops_the_run(tmp_path: Path, stop: Halt, sentence: str) -> None:
    """The endpoint's own words, its status, and what would help."""
    assert messages.stop_words(stop, job(tmp_path)) == sentence


def test_a_key_that_is_refused_is_named(tmp_path: Path) -> None:
    """By its variable; the way out is then another key, and not to name one."""
    with_key = job(tmp_path, endpoint=", api_key_env: THE_KEY", THE_KEY="sk-0123456789")
    assert messages.stop_words(halt("refused", ErrorKind.UNAUTHORIZED, "no", 401), with_key) == (
        "example.org refused the key in THE_KEY (HTTP 401): no."
    )


def test_an_outage(tmp_path: Path) -> None:
    """Since when, what its limit was, and what the last attempt gave; the hour is local, and UTC in the log."""
    stop = halt(OUTAGE, ErrorKind.SERVER_ERROR, "HTTP 503, empty body", 503)
    text = messages.stop_words(stop, job(tmp_path, "retry: {max_outage: 1}\n"))
    assert re.sub(r"[0-9]{2}:[0-9]{2}:14,", "05:02:14,", text) == (
        "no answer from example.org since 05:02:14, longer than `retry.max_outage` (1.0s); the last attempt:"
        " HTTP 503, empty body (HTTP 503)."
    )
    assert messages.stop_reason(stop) == f"{OUTAGE} since 05:02:14Z: server_error, HTTP 503"


def test_the_reason_in_our_words_alone() -> None:
    """What an endpoint says may repeat a prompt."""
    stop = halt("endpoint refuses", ErrorKind.UNAUTHORIZED, "who is Ada?", None)
    assert messages.stop_reason(stop) == "endpoint refuses: unauthorized"


@pytest.mark.parametrize(
    ("impatient", "cancelled_count", "sentence"),
    [
        (False, 0, "SIGTERM, after what was in flight had ended."),
        (False, 1234, "SIGTERM, after `drain` ran out with 1,234 in flight."),
        (True, 4, "SIGTERM, a second time, at once."),
    ],
)
def test_a_signal(impatient: bool, cancelled_count: int, sentence: str) -> None:
    """Which, and what it cut off."""
    signals = Signals()
    signals.received, signals.impatient = 15, impatient
    assert messages.signal_words(signals, cancelled_count) == sentence


@dataclass(frozen=True)
class Bound(Steps):
    """A script whose tokens have the bounds `tokens`: of its prompt and its reply."""

    tokens: tuple[int | None, int | None] = (None, None)

    @property
    def bound(self) -> MaxUsage:
        return MaxUsage(*self.tokens)


@pytest.mark.parametrize(
    ("tokens", "unbounded", "sentence"),
    [
        (
            (10, None),
            4,
            "in.jsonl:1: row r0 has no max_tokens or max_completion_tokens, so that what it costs has no bound and"
            " `budget.max_cost` ($0.5000) can't hold. 3 more rows are like it. Set `params.max_tokens`, or the row's"
            " own, or leave `budget.max_cost` out.",
        ),
        (
            (10, 10),
            2,
            "in.jsonl:1: row r0 has the model m, whose price is unknown, so that what it costs has no bound and"
            " `budget.max_cost` ($0.5000) can't hold. 1 more row is like it. Give it one in a table of `prices`, or"
            " leave `budget.max_cost` out.",
        ),
        (
            (None, 10),
            1,
            "in.jsonl:1: row r0 has parts that are not text, so that what it costs has no bound and `budget.max_cost`"
            " ($0.5000) can't hold. Remove such rows, or leave `budget.max_cost` out.",
        ),
    ],
)
def test_a_cap_that_could_not_hold(
    tmp_path: Path, tokens: tuple[int | None, int | None], unbounded: int, sentence: str
) -> None:
    """The first such row, what it lacks, how many there are, and both ways out."""
    first = Bound(Row(Key("r0"), 0, "in.jsonl:1", []), tokens=tokens)
    capped = job(tmp_path, "price: {input: 1, output: 1}\nbudget: {max_cost: 0.5}\n")
    assert messages.no_bound(capped, CostBound(unbounded=unbounded, first=first)) == sentence


def test_an_hour_that_has_passed() -> None:
    """As it was written."""
    assert messages.stop_at_passed("2026-01-01T07:30") == (
        "`budget.stop_at` is 2026-01-01T07:30, which has passed. Set a later one, or leave it out."
    )


def test_an_hour_that_has_come(tmp_path: Path) -> None:
    """With the time at which the last request in flight had ended."""
    timed = job(tmp_path, "budget: {stop_at: 6h}\n")
    text = messages.bound_words(Halt(TIME_UP), timed, Ledger(tmp_path))
    assert re.fullmatch(r"`budget\.stop_at` is 6h; at \d\d:\d\d:\d\d what was in flight had ended\.", text)


@pytest.mark.parametrize(
    ("costs", "unsure", "sentence"),
    [
        (
            (1.0, 2.0),
            0.5,
            "the budget of $4.2000 does not cover the next row, which may cost up to $0.3000: $3.0000 is paid and up"
            " to $0.5000 more may have been.",
        ),
        (
            (),
            None,
            "the budget of $4.2000 does not cover the next row, which may cost up to $0.3000: $0.0000 is paid.",
        ),
    ],
)
def test_a_cap_that_is_used_up(tmp_path: Path, costs: Sequence[float], unsure: float | None, sentence: str) -> None:
    """What is paid, and what may have been, where there is any."""
    capped = job(tmp_path, "price: {input: 1, output: 1}\nbudget: {max_cost: 4.2}\n")
    stop = Halt(SPENT, usd=Decimal("0.3"))
    assert messages.bound_words(stop, capped, ledger(tmp_path, *costs, unsure=unsure)) == sentence


def test_the_budget_at_the_start(tmp_path: Path) -> None:
    """What a `limit` leaves to be sent has no figure of its own."""
    counts = PlanCounts(max_cost=CostBound(Decimal(3)))
    counts.rows[Disposition.SEND_NEW] = 4
    budget = Budget(Decimal(20), lambda _model, _usage: None, learned=PriceRatio("p", 20, Decimal("1.5")))
    spend = ledger(tmp_path, 1.0, unsure=0.5)
    expected = Budgeted(Decimal(20), Decimal(1), Decimal("0.5"), 0, 4, Decimal("4.5"))
    assert messages.budgeted(budget, [None], spend, counts, None) == expected
    assert messages.budgeted(budget, [None], spend, counts, 4).rows == 4
    assert messages.budgeted(budget, [None], spend, counts, 3).rows == 0
