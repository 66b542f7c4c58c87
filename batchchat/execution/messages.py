"""Why a run was refused or stopped: the thing, the figure, the way out. Pure text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from batchchat.core.attempt import Attempt, Scope, Script
from batchchat.core.conversation import ErrorKind
from batchchat.core.events import Budgeted
from batchchat.execution.plan import CostBound, PlanCounts
from batchchat.execution.signals import Signals
from batchchat.job import JobSpec
from batchchat.policy.budget import LEARNING_ANSWERS, LEARNING_IN_FLIGHT, SPENT, Budget
from batchchat.policy.circuit_breaker import OUTAGE
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from batchchat.pricing.rates import Rate
from batchchat.store.ledger import Ledger
from batchchat.text import numbers
from batchchat.text.event_lines import changed_rows
from batchchat.tokens.reply_limit import REPLY_LIMITS

__all__ = [
    "OWN_BOUNDS",
    "bound_words",
    "budgeted",
    "changed_rows_question",
    "mixed_mock",
    "next_usd",
    "no_bound",
    "nothing_good",
    "other_job",
    "own_input",
    "signal_words",
    "stop_at_passed",
    "stop_reason",
    "stop_words",
    "strict_refusal",
]

OWN_BOUNDS = frozenset({SPENT, TIME_UP})
"""The reasons of stops by a job's own limits."""
_REDIRECTS = range(300, 400)
_KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
"""Where a key may be instead of `endpoint.api_key_env`; the first of them takes its place."""
_TLS_PORT = (None, 400)
"""What is not HTTP, and servers that say in HTTP that they speak TLS."""


_CHECK_WHERE = "Check `input.where`: columns of CSV are text, `'3'` or `score|int`."


def _input(job: JobSpec) -> str:
    return ", ".join(job.input.as_given)


def nothing_good(job: JobSpec, first_bad: str | None, left_out: int = 0) -> str:
    """An input without one good row; `left_out` of its rows are left out by `input.where`."""
    first = f" The first: {first_bad.rstrip('.')}{'' if first_bad.endswith('?') else '.'}" if first_bad else ""
    others = f" {numbers.rows(left_out)} left out by `input.where`." if left_out else ""
    checks = ["`input.where`"] if left_out else []
    checks += ["`template`"] if job.template else ["`input.format`", "`input.column`"]
    check = f"Check {', '.join(checks)} and `input.id`." if first_bad or not left_out else _CHECK_WHERE
    return f"{_input(job)} has no row that can be sent.{first}{others} {check}"


def own_input(output: str, entry: str) -> str:
    """An output that its own input would read the next time; `entry` is the one of `input.path` that would."""
    return f"{output} would be read as input: `input.path` has {entry}. Give `output.path` a place outside of that."


def strict_refusal(job: JobSpec, counts: PlanCounts) -> str:
    """Bad rows under --strict."""
    lines = [f"  {line}" for line in counts.first_invalid]
    if more := counts.invalid - len(counts.first_invalid):
        lines.append(f"  and {numbers.count(more)} more")
    return "\n".join(
        [
            f"{numbers.rows(counts.invalid)} of {_input(job)} can't be sent, and --strict sends nothing then:",
            *lines,
            "Fix them, or run without --strict to send the others.",
        ]
    )


def mixed_mock(job: JobSpec, answered: int) -> str:
    """Refusal: answers of the mock and of a real endpoint are never mixed in one output."""
    held, now = ("a real endpoint", "the mock") if job.is_mock else ("the mock", job.host)
    return (
        f"{job.output.as_given} holds {numbers.rows(answered)} answered by {held}, and this job asks {now}."
        " Name another `output.path`, or set them aside with `run --fresh`."
    )


def changed_rows_question(counts: PlanCounts) -> str:
    """Answered rows whose request has changed."""
    return changed_rows(counts.changed_rows())


def other_job(job: JobSpec, ledger: Ledger) -> str:
    """An output that holds finished rows, of which the input of `job` has none."""
    totals, run = ledger.totals, ledger.last_run
    rows = f"{numbers.count(totals.answered)} answered" if totals.answered else f"{numbers.count(totals.failed)} failed"
    name = run.get("name")
    of_job = f" of the job `{name}`" if isinstance(name, str) else ""
    return (
        f"{job.output.as_given} holds {rows} rows{of_job}, none of which is in the input of this job ({_input(job)})."
        " Name another `output.path`; --yes runs all the same and leaves those rows out of the output, --fresh sets"
        " them aside."
    )


def stop_words(stop: Halt, job: JobSpec) -> str:
    """Why the endpoint stopped the run, and what would help; of several endpoints the reason of each."""
    if stop.endpoint and job.endpoints:
        views = {view.endpoint.label: view for view in job.per_endpoint}
        halts = (*stop.others, stop)
        first = job.per_endpoint[0]
        for name in {halt.endpoint for halt in halts} - views.keys():  # it joined while the run went on
            views[name] = replace(first, endpoint=replace(job.endpoints[0], name=name))
        reasons = [f"  {halt.endpoint}: {stop_words(halt, views[halt.endpoint])}" for halt in halts]
        return "\n".join(["no endpoint is left:", *reasons])
    words = _stop_words(stop, job)
    # A key of one of several is not below `endpoint`.
    return words.replace("`endpoint.", "`") if stop.endpoint else words


def _stop_words(stop: Halt, job: JobSpec) -> str:
    attempt = stop.attempt
    assert attempt is not None
    assert attempt.failure is not None
    reply = attempt.failure.text.rstrip(".")  # the sentences around it end with a full stop of their own
    status = f" (HTTP {attempt.http_status})" if attempt.http_status else ""
    if stop.reason == OUTAGE:
        since = "" if stop.since is None else f" since {numbers.time_of_day(stop.since)}"
        lacking = "no answer" if attempt.http_status else "no response"
        wait_s = attempt.verdict.wait_s or 0.0
        until = f" It asks to wait until {numbers.time_of_day(attempt.finished_at + wait_s)}." if wait_s >= 1 else ""
        return (
            f"{lacking} from {job.host}{since}, longer than `retry.max_outage`"
            f" ({numbers.duration(job.retry.max_outage)}); the last attempt: {reply.removesuffix('.')}{status}.{until}"
        )
    if stop.reason in (ALL_FAIL_ALIKE, NOW_FAIL_ALIKE):
        count = numbers.count(job.retry.stop_after_failures)
        rows = f"the first {count} rows" if stop.reason == ALL_FAIL_ALIKE else f"{count} consecutive rows"
        return (
            f"{rows} failed with the same error, {attempt.failure.kind.value}: {reply}."
            " Fix the cause and continue with --retry-failed."
        )
    return _refusals(job, attempt, reply.removesuffix("."), status)[attempt.failure.kind] + _address_hint(job, attempt)


def stop_reason(stop: Halt) -> str:
    """As `stop_words`, without the endpoint's text, which may repeat a prompt."""
    if stop.others:
        halts = [*stop.others, stop._replace(others=())]
        return "; ".join(f"{halt.endpoint}: {stop_reason(halt)}" for halt in halts)
    attempt = stop.attempt
    assert attempt is not None
    assert attempt.failure is not None
    status = f", HTTP {attempt.http_status}" if attempt.http_status else ""
    since = "" if stop.since is None else f" since {numbers.time_of_day(stop.since, utc=True)}"
    return f"{stop.reason}{since}: {attempt.failure.kind.value}{status}"


def signal_words(signals: Signals, cuts: int) -> str:
    """How a signal ended the run, and what it cut off."""
    if signals.impatient:
        return f"{signals.name}, a second time, at once."
    if cuts:
        return f"{signals.name}, after `drain` ran out with {numbers.count(cuts)} in flight."
    return f"{signals.name}, after what was in flight had ended."


def _address_hint(job: JobSpec, attempt: Attempt) -> str:
    """The likely mistake in `endpoint.base_url`, where the answer is one that a wrong address gets."""
    kind, (scheme, _, address) = attempt.verdict.kind, job.endpoint.base_url.partition("://")
    if kind is ErrorKind.CONNECTION:
        is_tls = scheme == "https" and attempt.verdict.scope is Scope.ROW
        return " A server that speaks plain HTTP needs http:// in place of https://." if is_tls else ""
    if kind not in {ErrorKind.NOT_FOUND, ErrorKind.BAD_RESPONSE}:
        return ""
    if kind is ErrorKind.BAD_RESPONSE and scheme == "http" and attempt.http_status in _TLS_PORT:
        return " A server that speaks TLS needs https:// in place of http://."
    if scheme == "http" and attempt.http_status in _REDIRECTS:
        return " It answers with a redirect: try https:// in place of http://."
    return " The address has no path: /v1 is missing." if "/" not in address.rstrip("/") else ""


def _credential(job: JobSpec) -> tuple[str, str]:
    """What a request of `job` shows who sends it, and the sentence that helps where that is nothing."""
    names = {name.lower(): name for name in job.endpoint.headers}
    key = None if "authorization" in names else job.endpoint.api_key_env
    if key:
        return f"the key in {key}", ""
    for header in _KEY_HEADERS:
        if header in names:
            return f"the key in `endpoint.headers.{names[header]}`", ""
    return "a request without a key", " Name the variable that holds one in `endpoint.api_key_env`."


def _refusals(job: JobSpec, attempt: Attempt, reply: str, status: str) -> dict[ErrorKind, str]:
    model = attempt.request.model
    if model == job.model and job.served_model is not None:
        model = job.served_model
    check = "the network" if attempt.verdict.scope is Scope.ENDPOINT else "SSL_CERT_FILE"
    credential, way_out = _credential(job)
    asks, no_key = ("a request", " It is sent without a key.") if way_out else (credential, "")
    fallback = f"{job.host} refuses{status}: {reply}"
    return {
        **dict.fromkeys(ErrorKind, fallback),
        ErrorKind.UNAUTHORIZED: f"{job.host} refused {credential}{status}: {reply}.{way_out}",
        ErrorKind.QUOTA: (
            f"{job.host} will not serve this account for now{status}: {reply}. Top it up, or raise its limit."
        ),
        ErrorKind.FORBIDDEN: f"{job.host} refuses {asks} for `{model}`{status}: {reply}.{no_key}",
        ErrorKind.NOT_FOUND: (
            f"{job.host} does not know `{model}` or the address{status}: {reply}."
            " Check `model` and `endpoint.base_url`."
        ),
        ErrorKind.BAD_RESPONSE: (
            f"{job.host} is no chat completions endpoint{status}: {reply}. Check `endpoint.base_url`;"
            " it usually ends in /v1 or /v1/openai."
        ),
        ErrorKind.CONNECTION: f"no connection to {job.host}: {reply}. Check `endpoint.base_url` and {check}.",
    }


def budgeted(
    budget: Budget, rates: Sequence[Rate | None], ledger: Ledger, counts: PlanCounts, limit: int | None
) -> Budgeted:
    """The budget at the start of a run, by the `rates` of the job's models.

    What a `limit` leaves to be sent has no figure of its own.
    """
    listed = dict.fromkeys(rate.description for rate in rates if rate is not None and rate.source != "job")
    return Budgeted(
        max_cost_usd=budget.max_cost_usd,
        paid_usd=ledger.paid_usd,
        uncertain_usd=ledger.uncertain_cost.upper_bound_usd,
        unknown_rows=ledger.totals.unknown_cost_rows,
        rows=counts.to_send if limit is None or limit >= counts.to_send else 0,
        max_rows_usd=counts.max_cost.usd * max(budget.learned.max_ratio, Decimal(1)),
        learning=(LEARNING_IN_FLIGHT, LEARNING_ANSWERS) if budget.is_learning else None,
        price=" and ".join(listed) or None,
    )


def no_bound(job: JobSpec, max_cost: CostBound) -> str:
    """Rows that could cost anything, under a cap that must hold."""
    assert max_cost.first is not None
    lacks, way_out = _lack(max_cost.first)
    row, more_count = max_cost.first.row, max_cost.unbounded - 1
    more = ""
    if more_count:
        more = f" {numbers.count(more_count)} more {'row is' if more_count == 1 else 'rows are'} like it."
    cap = numbers.money(job.budget.max_cost)
    return (
        f"{row.location}: row {row.key.id} has {lacks}, so that what it costs has no bound and"
        f" `budget.max_cost` ({cap}) can't hold.{more} {way_out}, or leave `budget.max_cost` out."
    )


def _lack(script: Script) -> tuple[str, str]:
    """What a row lacks to have a bound, and the way out."""
    if script.bound.completion_tokens is None:
        return f"no {' or '.join(REPLY_LIMITS)}", "Set `params.max_tokens`, or the row's own"
    if script.bound.prompt_tokens is not None:
        return f"the model {script.preview[0].model}, whose price is unknown", "Give it one in a table of `prices`"
    return "parts that are not text", "Remove such rows"


def stop_at_passed(written: str) -> str:
    """A moment that was over before the run began."""
    return f"`budget.stop_at` is {written}, which has passed. Set a later one, or leave it out."


def bound_words(stop: Halt, job: JobSpec, ledger: Ledger) -> str:
    """Which of the job's own bounds stopped the run."""
    if stop.reason == TIME_UP:
        assert job.budget.stop_at is not None
        clock = time.strftime("%H:%M:%S")
        return f"`budget.stop_at` is {job.budget.stop_at.written}; at {clock} what was in flight had ended."
    unsure = ledger.uncertain_cost.upper_bound_usd
    may = f" and up to {numbers.money(unsure)} more may have been" if unsure else ""
    return (
        f"the budget of {numbers.money(job.budget.max_cost)} does not cover the next row, which may cost up to"
        f" {numbers.money(next_usd(stop))}: {numbers.money(ledger.paid_usd)} is paid{may}."
    )


def next_usd(stop: Halt) -> Decimal:
    """What the next request may cost; 0 where that has no bound."""
    return stop.usd if stop.usd is not None and stop.usd.is_finite() else Decimal(0)
