"""The line that each type of event is printed as, on a terminal and in `run.log`, as one table.

Pure. No line adds a prompt, a reply or a key to what its event holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from batchchat.core import events
from batchchat.core.events import Event
from batchchat.core.notices import JournalShipped, ShardNoted, ShippingFailed, Uploaded, Uploading, WorkersWait
from batchchat.text import numbers
from batchchat.text.endpoint_lines import ENDPOINT_LINES, LINES_WITH_TIMES
from batchchat.text.expansion import factor_words, product_words
from batchchat.text.shard_lines import shard_noted
from batchchat.text.upload_lines import shipped_line, shipping_failed_line, uploaded_line, uploading_line

__all__ = ["LINES", "LINES_WITH_TIMES", "WITHOUT_LINE", "changed_rows", "event_line"]


def event_line(event: Event, *, utc: bool = False) -> str | None:
    """The line of `event`, or its lines; None for those without. Times of day are local, or in UTC."""
    if isinstance(event, events.OfEndpoint):
        line = event_line(event.event, utc=utc)
        return None if line is None else f"{event.endpoint}: {line}"
    if (write := LINES.get(type(event))) is not None:
        return write(event)
    if (write_with_times := LINES_WITH_TIMES.get(type(event))) is not None:
        return write_with_times(event, utc)
    return None


def _started(event: events.Started) -> str:
    if event.concurrency is None:
        in_flight = "as many in flight as the endpoint allows"
    elif not event.concurrency:
        in_flight = "nothing is sent"
    else:
        in_flight = f"up to {numbers.count(event.concurrency)} in flight"
    recognised = f" (recognised: {event.recognised})" if event.recognised else ""
    factors = factor_words(event.variants, event.samples)
    source = f"{event.source}{recognised}{f' · each row as {factors}' if factors else ''}"
    return f"{event.name} · {event.model} at {event.host} · {in_flight}\ninput  {source}"


def _input_noted(event: events.InputNoted) -> str:
    return "\n".join(f"note   {sentence}" for sentence in event.sentences)


def _environment(event: events.Environment) -> str:
    return (
        f"batchchat {event.version} · {event.place} · pid {event.pid} on {event.host}\n"
        f"job    {event.job} -> {event.output}\n"
        f"rules  {event.rules}"
    )


def _replayed(event: events.Replayed) -> str:
    lines = [*event.damages]
    if event.at_risk:
        lines.append(
            f"an earlier run was killed: up to {numbers.quantity(event.at_risk, 'request')} of it were in flight or"
            " not yet recorded, and may have been billed"
        )
    return "\n".join(f"journal {line}" for line in lines)


def _planned(event: events.Planned) -> str:
    parts = []
    if event.kept:
        parts.append(f"{numbers.count(event.kept)} finished before {_are(event.kept)} kept")
    notes = [
        f"{numbers.count(count)} of them {words}"
        for count, words in (
            (event.kept_changed, "answered another request"),
            (event.taken_over, "under a new id, for the same request"),
            (event.undecided, "undecided"),
        )
        if count
    ]
    if notes and event.kept:
        parts[0] += f" ({', '.join(notes)})"
    for count, words in (
        (event.retry_failed, f"failed before {_are(event.retry_failed)} tried again"),
        (event.resend_answered, f"answered before {_are(event.resend_answered)} sent again"),
        (event.resend_changed, f"{_are(event.resend_changed)} sent again (request changed)"),
        (event.new, "new"),
        (event.shared, f"{'shares' if event.shared == 1 else 'share'} the answer of an equal request"),
        (event.used_up, f"{'has' if event.used_up == 1 else 'have'} no attempt left (`retry`)"),
        (event.later, "left for the run"),
        (event.invalid, "invalid"),
        (event.gone, "gone from the input"),
    ):
        if count:
            about = "about " if event.is_estimate and words == "new" else ""
            parts.append(f"{about}{numbers.count(count)} {words}")
    if not (event.retry_failed or event.resend_answered or event.resend_changed or event.new):
        parts.append("nothing to send")
    if event.variants * event.samples > 1:
        parts[0] = f"{product_words(event.total, event.variants, event.samples)}: {parts[0]}"
    line = "resume " + " · ".join(parts)
    if event.refreshed:
        have = "has" if event.refreshed == 1 else "have"
        line += f"\ninput  {numbers.rows(event.refreshed)} {have} new values in carried columns; the output takes them"
    return line


def changed_rows(event: events.ChangedRowsLeft) -> str:
    """How many answered rows have another request now, in what, and what they cost."""
    cost = numbers.money(event.cost_usd)
    if event.unknown_cost_rows == event.rows:
        cost = "an unknown sum"
    elif event.unknown_cost_rows:
        cost = f"{cost} and an unknown sum for {numbers.count(event.unknown_cost_rows)} of them"
    were, their = ("was", "its") if event.rows == 1 else ("were", "their")
    return f"{numbers.rows(event.rows)} {were} answered, for {cost}, before {their} {_parts(event)} changed."


def _parts(event: events.ChangedRowsLeft) -> str:
    """The changed parts of the requests: each with its count where not all rows changed in it."""
    parts = [
        name if count == event.rows else f"{name} ({numbers.count(count)})"
        for name, count in event.parts.items()
        if count
    ]
    if not parts:
        return "request"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _changed_rows_left(event: events.ChangedRowsLeft) -> str:
    answers = "Its answer is" if event.rows == 1 else "Their answers are"
    return (
        f"changed {changed_rows(event)} {answers} kept and nothing is sent for {'it' if event.rows == 1 else 'them'}:"
        " --resend changed pays again, --keep-changed keeps what there is"
    )


def _ids_not_in_input(event: events.IdsNotInInput) -> str:
    return f"resend {numbers.quantity(event.absent, 'id')} of {event.path} {_are(event.absent)} not in the input"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _budgeted(event: events.Budgeted) -> str:
    parts = [f"budget {numbers.money(event.max_cost_usd)}"]
    if event.paid_usd or event.uncertain_usd:
        billed = f" and up to {numbers.money(event.uncertain_usd)} possibly billed" if event.uncertain_usd else ""
        parts.append(f"{numbers.money(event.paid_usd)} paid{billed} in earlier runs")
    if event.unknown_rows:
        parts.append(f"not counted: {numbers.quantity(event.unknown_rows, 'earlier answer')} of unknown cost")
    if event.rows:
        rows = "row" if event.rows == 1 else f"{numbers.count(event.rows)} rows"
        parts.append(f"worst case of the {rows} to send: {numbers.money(event.max_rows_usd)}")
    if event.price is not None:
        parts.append(f"priced at {event.price}")
    if event.learning is not None:
        in_flight, answers = event.learning
        parts.append(
            f"at most {numbers.count(in_flight)} at a time until {numbers.count(answers)} answers show the real price"
        )
    return " · ".join(parts)


def _price_ratio_raised(event: events.PriceRatioRaised) -> str:
    overrun = f". {numbers.money(event.overrun_usd)} over the reserved maximum so far" if event.overrun_usd else ""
    if event.ratio == 1:
        return f"an answer cost more than was reserved for it{overrun}"
    return f"the endpoint charges up to {event.ratio:.2f}x the listed price; reservations now use that{overrun}"


def _cost_outlier(event: events.CostOutlier) -> str:
    return f"one answer cost {event.ratio:,.0f}x what was expected; reservations change only if another one does"


def _workers_wait(event: WorkersWait) -> str:
    needs = ", ".join(f"{name}: {amount:g}" for name, amount in event.needs.items())
    return f"{event.workers} of {event.of} workers have not started yet: each needs a node of Ray with {{{needs}}} free"


def _other_model_served(event: events.OtherModelServed) -> str:
    return f"the endpoint serves {event.served} for {event.requested}; the price may differ"


def _other_tier_served(event: events.OtherTierServed) -> str:
    return f"the endpoint serves tier {event.served} where {event.requested} was asked for; the price differs"


def _response_format_refused(event: events.ResponseFormatRefused) -> str:
    following = f"{event.following} with the schema in the prompt" if event.following != "none" else "the prompt alone"
    words = numbers.shorten(event.words, 120)
    return f"{event.model} is refused response_format {event.refused} ({words}): asking by {following} from here on"


def _stream_noticed(event: events.StreamNoticed) -> str:
    match event.what:
        case "unasked":
            return f"the endpoint streams, which no request asked for; replies are joined, from row {event.id} on"
        case "ignored":
            return f"the endpoint does not stream: row {event.id} was answered whole. `endpoint.stream` has no effect"
        case "no usage":
            return (
                f"the endpoint refuses `stream_options`: from row {event.id} on it is asked without, and may not report"
                " tokens and cost"
            )


def _gateway_timeout_found(event: events.GatewayTimeoutFound) -> str:
    way_out = "Lower" if event.streams else "Set `endpoint.stream: true`, or lower"
    return (
        f"{event.requests} requests ended with HTTP {event.http_status} after about {numbers.duration(event.latency_s)}"
        " each: a gateway in front of the endpoint cuts longer replies off, which may be billed all the same."
        f" {way_out} `params.max_tokens`"
    )


def _prompt_truncated(event: events.PromptTruncated) -> str:
    return (
        f"row {event.id} was answered after {numbers.count(event.prompt_tokens)} prompt tokens, too few for its"
        f" {numbers.size(event.text_bytes)} of text: the endpoint seems to cut long prompts without saying so. Raise"
        " its context (Ollama: num_ctx)"
    )


def _context_limit_found(event: events.ContextLimitFound) -> str:
    return (
        f"{event.rows} rows of different length each used exactly {numbers.count(event.tokens)} tokens in all: the"
        " endpoint's context ends there, and it cuts prompts or replies without saying so. Raise it (Ollama: num_ctx)"
    )


def _first_failure(event: events.FirstFailure) -> str:
    return f"first {event.kind}: row {event.id}: {event.text}"


def _row_overdue(event: events.RowOverdue) -> str:
    consequence = "it is sent again, and may be billed twice" if event.again else "it is given up"
    return (
        f"row {event.id} is the last and has run {numbers.duration(event.ran_s)}, where 99 of 100 answers took at most"
        f" {numbers.seconds(event.p99_s)}: {consequence}"
    )


def _draining(event: events.Draining) -> str:
    way_out = ". Send it again to stop now" if event.by_signal else ""
    head = f"{event.reason} No" if event.reason.endswith(".") else f"{event.reason}: no"
    if not event.in_flight:
        return f"{head} new requests; none in flight"
    return (
        f"{head} new requests; waiting up to {numbers.duration(event.wait_s)} for"
        f" {numbers.count(event.in_flight)} in flight{way_out}"
    )


def _on_finish_failed(event: events.OnFinishFailed) -> str:
    return f"on_finish: {event.why}"


LINES: Mapping[type[Any], Callable[[Any], str]] = {
    events.Started: _started,
    ShardNoted: shard_noted,
    events.InputNoted: _input_noted,
    events.Environment: _environment,
    events.Replayed: _replayed,
    events.Planned: _planned,
    events.ChangedRowsLeft: _changed_rows_left,
    events.IdsNotInInput: _ids_not_in_input,
    events.Budgeted: _budgeted,
    events.PriceRatioRaised: _price_ratio_raised,
    events.CostOutlier: _cost_outlier,
    WorkersWait: _workers_wait,
    events.OtherModelServed: _other_model_served,
    events.OtherTierServed: _other_tier_served,
    events.StreamNoticed: _stream_noticed,
    events.GatewayTimeoutFound: _gateway_timeout_found,
    events.PromptTruncated: _prompt_truncated,
    events.ResponseFormatRefused: _response_format_refused,
    events.ContextLimitFound: _context_limit_found,
    events.FirstFailure: _first_failure,
    events.RowOverdue: _row_overdue,
    events.Draining: _draining,
    events.OnFinishFailed: _on_finish_failed,
    JournalShipped: shipped_line,
    ShippingFailed: shipping_failed_line,
    Uploading: uploading_line,
    Uploaded: uploaded_line,
    **ENDPOINT_LINES,
}
WITHOUT_LINE: frozenset[type[Any]] = frozenset(
    {events.Progress, events.Publishing, events.Finished, events.Refused, events.OfEndpoint}
)
"""Events that change the progress line, or end it."""
