"""Why a run was refused or stopped, in the words that help: the thing, the figure, the way out."""

from __future__ import annotations

from batchchat.core.conversation import ErrorKind
from batchchat.job import JobSpec
from batchchat.policy.circuit_breaker import NEVER_REACHED, OUTAGE
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from batchchat.run.plan import Disposition, PlanCounts
from batchchat.run.signals import Signals
from batchchat.text import numbers

__all__ = [
    "changed_rows_question",
    "mixed_mock",
    "nothing_good",
    "own_input",
    "signal_words",
    "stop_reason",
    "stop_words",
    "strict_refusal",
]


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{numbers.count(number)} rows"


def _input(job: JobSpec) -> str:
    return ", ".join(job.input.as_given)


def nothing_good(job: JobSpec, first_bad: str | None) -> str:
    """An input without one good row."""
    first = f" The first: {first_bad.removesuffix('.')}." if first_bad else ""
    return f"{_input(job)} has no row that can be sent.{first} Check `input.format`, `input.column` and `input.id`."


def own_input(output: str, entry: str) -> str:
    """An output that its own input would read the next time; `entry` is the one of `input.path` that would."""
    return f"{output} would be read as input: `input.path` has {entry}. Give `output.path` a place outside of that."


def strict_refusal(job: JobSpec, tally: PlanCounts) -> str:
    """Bad rows under --strict."""
    bad = "\n".join(f"  {line}" for line in tally.first_invalid)
    more = tally.invalid - len(tally.first_invalid)
    rest = f"\n  and {numbers.count(more)} more" if more else ""
    return (
        f"{_rows(tally.invalid)} of {_input(job)} can't be sent, and --strict sends nothing then:\n{bad}{rest}\n"
        "Mend them, or run without --strict to send the others."
    )


def mixed_mock(job: JobSpec, answered: int) -> str:
    """Answers of the mock and of a real endpoint never stand in one output."""
    held, now = ("a real endpoint", "the mock") if job.is_mock else ("the mock", job.host)
    return (
        f"{job.output.as_given} holds {_rows(answered)} answered by {held}, and this job asks {now}."
        " Name another `output.path`, or set them aside with --fresh."
    )


def changed_rows_question(tally: PlanCounts) -> str:
    """Answered rows whose request has changed."""
    count = tally.fates[Disposition.UNDECIDED]
    cost = numbers.money(tally.changed_cost_usd)
    if tally.changed_unknown_cost == count:
        cost = "an unknown sum"
    elif tally.changed_unknown_cost:
        cost = f"{cost} and an unknown sum for {numbers.count(tally.changed_unknown_cost)} of them"
    were, their = ("was", "its") if count == 1 else ("were", "their")
    return f"{_rows(count)} {were} answered, for {cost}, before {their} conversation, model or params changed."


def stop_words(stop: Halt, job: JobSpec) -> str:
    """Why the endpoint stopped the run, and what would help."""
    attempt = stop.attempt
    assert attempt is not None
    assert attempt.failure is not None
    said = attempt.failure.text
    status = f" (HTTP {attempt.http_status})" if attempt.http_status else ""
    if stop.reason == NEVER_REACHED:
        return f"{job.host} was never reached: {said}. Check `endpoint.base_url` and the network."
    if stop.reason == OUTAGE:
        since = "" if stop.since is None else f" since {numbers.time_of_day(stop.since)},"
        return (
            f"{job.host} has given no answer{since} for {numbers.duration(job.retry.max_outage)} (`retry.max_outage`);"
            f" last seen: {said}{status}."
        )
    if stop.reason in (ALL_FAIL_ALIKE, NOW_FAIL_ALIKE):
        most = numbers.count(job.retry.stop_after_failures)
        rows = f"the first {most} rows" if stop.reason == ALL_FAIL_ALIKE else f"{most} rows in succession"
        return (
            f"{rows} all failed alike, {attempt.failure.kind.value}: {said}."
            " Mend the cause and go on with --retry-failed."
        )
    return _refusals(job, attempt.request.model, said, status)[attempt.failure.kind]


def stop_reason(stop: Halt) -> str:
    """The same in our words alone: what an endpoint says may repeat a prompt."""
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


def _refusals(job: JobSpec, model: str, said: str, status: str) -> dict[ErrorKind, str]:
    key = job.endpoint.api_key_env
    had = f"the key in {key}" if key else "a request without a key"
    mend = "" if key else " Name the variable that holds one in `endpoint.api_key_env`."
    fallback = f"{job.host} refuses{status}: {said}"
    return {
        **dict.fromkeys(ErrorKind, fallback),
        ErrorKind.UNAUTHORIZED: f"{job.host} refused {had}{status}: {said}.{mend}",
        ErrorKind.QUOTA: f"{job.host} will not serve this account for now{status}: {said}. Top it up.",
        ErrorKind.FORBIDDEN: f"{job.host} refuses {had} for `{model}`{status}: {said}.",
        ErrorKind.NOT_FOUND: (
            f"{job.host} does not know `{model}` or the address{status}: {said}. Check `model` and `endpoint.base_url`."
        ),
        ErrorKind.BAD_RESPONSE: (
            f"{job.host} is no chat completions endpoint{status}: {said}. Check `endpoint.base_url`;"
            " it usually ends in /v1 or /v1/openai."
        ),
        ErrorKind.CONNECTION: f"no connection to {job.host}: {said}. Check `endpoint.base_url` and SSL_CERT_FILE.",
    }
