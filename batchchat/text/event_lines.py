"""The words each event is told in, on a terminal and in `run.log`; pure, and adds no prompt, reply or key."""

from __future__ import annotations

from collections.abc import Mapping

from batchchat.core import events
from batchchat.core.events import Event, Progress
from batchchat.text import numbers

__all__ = ["figures_of", "finished", "kinds_of", "line_of", "of_total", "text_of"]


def text_of(event: Event, *, utc: bool = False) -> str | None:
    """The line an event is told in; None for those that have none. Times of day are local ones, or UTC."""
    match event:
        case events.Started():
            many = "as many" if event.concurrency is None else f"up to {numbers.count(event.concurrency)}"
            limit = " in flight as the endpoint allows" if event.concurrency is None else " in flight"
            return (
                f"{event.name} · {event.model} at {event.host} · {many}{limit}\n"
                f"input  {event.source}{f' (recognised: {event.recognised})' if event.recognised else ''}"
            )
        case events.Replayed():
            lines = [*event.damages]
            if event.at_risk:
                lines.append(
                    f"a run before was killed: up to {numbers.count(event.at_risk)} requests were in flight then or"
                    " not yet kept, and may have been billed"
                )
            return "\n".join(f"journal {line}" for line in lines)
        case events.Planned():
            return _planned(event)
        case (
            events.LimitsRead()
            | events.CeilingLowered()
            | events.CeilingRaised()
            | events.EndpointDown()
            | events.EndpointUp()
        ):
            return _of_endpoint(event, utc=utc)
        case events.OtherModelServed():
            return f"the endpoint serves {event.served} for {event.requested}; the price may differ"
        case events.FirstFailure():
            return f"first {event.kind}: row {event.id}: {event.text}"
        case events.Budgeted() | events.PriceRatioRaised():
            return _of_money(event)
        case events.Draining():
            return (
                f"{event.reason}: nothing more is sent, {numbers.count(event.in_flight)} in flight get up to"
                f" {numbers.duration(event.wait_s)}{'; once more stops at once' if event.by_signal else ''}"
            )
        case _:
            return _text_aside(event)


def _text_aside(event: Event) -> str | None:
    """The lines of what is rare: an endpoint's own ways, the end of a run, what run.log begins with."""
    match event:
        case events.OtherTierServed():
            return f"the endpoint serves tier {event.served} where {event.requested} was asked for; the price differs"
        case events.GatewayTimeoutFound():
            return (
                f"{event.requests} requests ended with HTTP {event.http_status} after about"
                f" {numbers.duration(event.latency_s)} each: a gateway before the endpoint cuts longer replies, which"
                " may be billed all the same. Lower `params.max_tokens`"
            )
        case events.PromptTruncated():
            return (
                f"row {event.id} was answered after {numbers.count(event.prompt_tokens)} prompt tokens, too few for its"
                f" {numbers.size(event.text_bytes)} of text: the endpoint seems to cut long prompts without saying so."
                " Raise its context (Ollama: num_ctx)"
            )
        case events.ContextLimitFound():
            return (
                f"{event.rows} rows of different length each used exactly {numbers.count(event.tokens)} tokens in all:"
                " the endpoint's context ends there, and it cuts prompts or replies without saying so. Raise it"
                " (Ollama: num_ctx)"
            )
        case events.Environment():
            return (
                f"batchchat {event.version} · {event.place} · pid {event.pid} on {event.host}\n"
                f"job    {event.job} -> {event.output}\n"
                f"rules  {event.rules}"
            )
        case events.RowOverdue():
            then = "it is sent again, and may be billed twice" if event.again else "it is given up"
            return (
                f"row {event.id} is the last and has run {numbers.duration(event.ran_s)}, where 99 of 100 answers took"
                f" at most {numbers.seconds(event.p99_s)}: {then}"
            )
        case events.OnFinishFailed():
            return f"on_finish: {event.why}"
        case _:
            return None


def _of_endpoint(
    event: events.LimitsRead | events.CeilingLowered | events.CeilingRaised | events.EndpointDown | events.EndpointUp,
    *,
    utc: bool,
) -> str:
    """How much the endpoint takes, and whether it is there at all."""
    if isinstance(event, events.LimitsRead):
        return _allowed(event)
    if isinstance(event, events.EndpointDown | events.EndpointUp):
        return _outage(event, utc=utc)
    return _moved(event)


def _allowed(event: events.LimitsRead) -> str:
    if event.why is not None:
        return (
            f"limits the endpoint doesn't say what it allows ({event.why}):"
            f" up to {numbers.count(event.concurrency)} in flight"
        )
    parts = []
    if event.requests is not None:
        parts.append(f"{numbers.count(event.requests)} in flight")
    if event.tokens_per_minute is not None:
        parts.append(f"{numbers.count(event.tokens_per_minute)} tokens a minute")
    used = "" if event.requests == event.concurrency else f": up to {numbers.count(event.concurrency)} in flight"
    return f"limits the endpoint allows {' and '.join(parts)}{used}"


def _moved(event: events.CeilingLowered | events.CeilingRaised) -> str:
    moved = f"{numbers.count(event.before)} -> {numbers.count(event.after)} in flight"
    if isinstance(event, events.CeilingRaised):
        return f"grown back: {moved}"
    refusals = "1 refusal" if event.refusals == 1 else f"{numbers.count(event.refusals)} refusals"
    return f"rate limited: {moved} ({refusals} in {numbers.duration(event.span_s)})"


def _outage(event: events.EndpointDown | events.EndpointUp, *, utc: bool) -> str:
    since = numbers.time_of_day(event.since, utc=utc)
    if isinstance(event, events.EndpointDown):
        left = (
            "" if event.left is None else f", {numbers.count(event.left)} {'row' if event.left == 1 else 'rows'} left"
        )
        return (
            f"endpoint down since {since} ({event.why}): waiting, next probe in"
            f" {numbers.duration(event.probe_in_s)}{left}"
        )
    sent = f"{numbers.count(event.probes)} {'request' if event.probes == 1 else 'requests'}"
    until = numbers.time_of_day(event.until, utc=utc)
    return f"endpoint is back after {numbers.duration(event.lasted_s)} ({since} to {until}, {sent} sent meanwhile)"


def _planned(event: events.Planned) -> str:
    parts = []
    if event.kept:
        parts.append(f"{numbers.count(event.kept)} finished before {_are(event.kept)} kept")
    if event.kept_changed:
        parts[0] += f" ({numbers.count(event.kept_changed)} of them answered another request)"
    for number, words in (
        (event.retry_failed, f"failed before {_are(event.retry_failed)} tried again"),
        (event.resend_changed, f"{_are(event.resend_changed)} sent again (request changed)"),
        (event.new, "new"),
        (event.later, "left for the run"),
        (event.invalid, "invalid"),
        (event.gone, "gone from the input"),
    ):
        if number:
            parts.append(f"{numbers.count(number)} {words}")
    if not (event.retry_failed or event.resend_changed or event.new):
        parts.append("nothing to send")
    return "resume " + " · ".join(parts)


def _of_money(event: events.Budgeted | events.PriceRatioRaised) -> str:
    if isinstance(event, events.PriceRatioRaised):
        over = f"; answers cost {numbers.money(event.overrun_usd)} more than the most they could by it"
        return (
            f"the endpoint charges up to {event.ratio:.2f} times the known price, and is reckoned with so"
            f"{over if event.overrun_usd else ''}"
        )
    parts = [f"at most {numbers.money(event.max_cost_usd)}"]
    if event.paid_usd or event.uncertain_usd:
        may = f", up to {numbers.money(event.uncertain_usd)} more may have been" if event.uncertain_usd else ""
        parts.append(f"{numbers.money(event.paid_usd)} paid before{may}")
    if event.unknown_rows:
        parts.append(f"what {numbers.count(event.unknown_rows)} answers cost before is unknown and not in it")
    if event.rows:
        parts.append(f"{numbers.count(event.rows)} to send cost at most {numbers.money(event.max_rows_usd)}")
    if event.price is not None:
        parts.append(f"reckoned with {event.price}")
    if event.learning:
        parts.append("a few at a time until it is seen what they really cost")
    return "budget " + " · ".join(parts)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def figures_of(event: Progress, *, brief: bool = False) -> str:
    """Money, pace and trouble; `brief` leaves out what can be done without."""
    parts = []
    if event.cost_usd is not None:
        expected = None if brief else event.expected_cost_usd
        about = f" of about {numbers.money(expected)}" if expected is not None else ""
        cap = f"at most {numbers.money(event.max_cost_usd)}" if event.max_cost_usd is not None else ""
        most = f"{',' if about else ' of'} {cap}" if cap else ""
        parts.append(f"{numbers.money(event.cost_usd)}{about}{most}")
        if event.cost_per_hour_usd and not brief:
            parts.append(numbers.per_hour(event.cost_per_hour_usd))
    if event.failed:
        parts.append(f"{numbers.count(event.failed)} failed")
    if event.invalid:
        parts.append(f"{numbers.count(event.invalid)} invalid")
    if event.awaited is not None:
        row, ran = event.awaited, numbers.duration(event.awaited.running_s)
        if brief:
            return " · ".join([*parts, f"waiting for {numbers.shorten(row.id, 12)}, {ran}"])
        bound = numbers.duration(row.bound_s)
        parts.append(f"waiting for row {numbers.shorten(row.id, 24)}, {ran} of at most {bound}")
    elif event.recovering:
        parts.append(f"{numbers.count(event.recovering)} retrying")
    parts.append(_sending(event))
    if event.tokens_per_s and not brief:
        parts.append(f"{numbers.compact(event.tokens_per_s)} tok/s")
    return " · ".join(parts)


def _sending(event: Progress) -> str:
    """How much goes on at once, or why nothing does."""
    if event.down_since is not None:
        probe = f"next probe in {numbers.duration(event.probe_in_s)}" if event.probe_in_s else "probing"
        return f"endpoint down, {probe}"
    if event.held_s >= 1:
        return f"held {numbers.duration(event.held_s)} by the endpoint"
    under = f"/{numbers.count(event.ceiling)}" if event.ceiling < event.max_ceiling else ""
    return f"{numbers.count(event.in_flight)}{under} in flight"


def of_total(event: Progress) -> str:
    """`1,200/about 3,000`: the rows done, of those there are."""
    if event.total is None:
        return numbers.count(event.done)
    about = "about " if event.estimated else ""
    return f"{numbers.count(event.done)}/{about}{numbers.count(event.total)}"


def line_of(event: Progress) -> str:
    """How far a job is, in one line."""
    left = f" · {numbers.duration(event.eta_s)} left" if event.eta_s else ""
    pace = f"{event.rows_per_s:.1f}/s"
    return f"{numbers.clock(event.elapsed_s)} {of_total(event)} rows · {pace} · {figures_of(event)}{left}"


def kinds_of(event: Progress) -> str:
    """Failures and retries by kind, for whoever reads the log afterwards."""
    found = (("failed", event.failures), ("tried again", event.retries))
    return "".join(f" · {what}: {listed}" for what, kinds in found if (listed := _listed(kinds)))


def _listed(kinds: Mapping[str, int]) -> str:
    """`190 rate_limit, 2 timeout`; the most frequent first."""
    ranked = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{numbers.count(number)} {kind}" for kind, number in ranked if number)


def finished(event: events.Finished) -> str:
    """The rows and the money at the end."""
    parts = [
        f"{numbers.count(number)} {what}"
        for number, what in (
            (event.answered, "answered"),
            (event.failed, "failed"),
            (event.invalid, "invalid"),
            (event.left or 0, "left"),
        )
        if number or what == "answered"
    ]
    if event.left is None:
        parts.append("an unknown number left")
    return f"end    {' · '.join(parts)} · {numbers.money(event.cost_usd)}"
