"""The lines about endpoints: their limits, how many requests they take, and whether they can be reached. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from batchchat.core import events, notices
from batchchat.text import numbers

__all__ = ["ENDPOINT_LINES", "LINES_WITH_TIMES"]


def _limits_read(event: events.LimitsRead) -> str:
    using = f"using up to {numbers.count(event.concurrency)} in flight"
    if event.why is not None:
        return f"limits unknown ({event.why}): {using}"
    parts = []
    if event.requests is not None:
        parts.append(f"{numbers.count(event.requests)} in flight")
    if event.tokens_per_minute is not None:
        parts.append(f"{numbers.count(event.tokens_per_minute)} tokens a minute")
    return (
        f"limits the endpoint allows {' and '.join(parts)}{'' if event.requests == event.concurrency else f': {using}'}"
    )


def _limits_shared(event: notices.LimitsShared) -> str:
    with_whom = f"with {', '.join(event.others)}" if event.others else "with no other job so far"
    return f"limits shared as {event.name}, {with_whom}: {numbers.count(event.concurrency)} in flight together"


def _leases_held(event: notices.LeasesHeld) -> str:
    lasted = numbers.duration(event.held_s)
    return (
        f"limits shared as {event.name}: another process has held {event.lock} for {lasted}, and nothing is sent until"
        " it goes on. If it is suspended, continue or end it"
    )


def _ceiling_lowered(event: events.CeilingLowered) -> str:
    signs = [numbers.quantity(event.refusals, "refusal")] if event.refusals or not event.cut_offs else []
    if event.cut_offs:
        signs.append(f"{numbers.quantity(event.cut_offs, 'request')} timed out while others were answered")
    reason = "overloaded" if event.cut_offs > event.refusals else "rate limited"
    return f"{reason}: {_ceiling(event)} ({', '.join(signs)} in {numbers.duration(event.span_s)})"


def _ceiling_raised(event: events.CeilingRaised) -> str:
    return f"grown back: {_ceiling(event)}"


def _ceiling(event: events.CeilingLowered | events.CeilingRaised) -> str:
    return f"{numbers.count(event.before)} -> {numbers.count(event.after)} in flight"


def _endpoint_down(event: events.EndpointDown, utc: bool) -> str:
    since = numbers.time_of_day(event.since, utc=utc)
    left = "" if event.left is None else f", {numbers.rows(event.left)} left"
    if event.is_first_contact and event.stops_at is not None:
        return f"{event.why}; waiting up to {numbers.duration(round(event.stops_at - event.since, 3))}, Ctrl-C stops"
    probe = f"next probe in {numbers.duration(event.probe_in_s)}"
    if event.stops_at is not None:
        probe += f", until {numbers.time_of_day(event.stops_at, utc=utc)} at most (`retry.max_outage`)"
    return f"endpoint down since {since} ({event.why}): waiting, {probe}{left}"


def _endpoint_retired(event: events.EndpointRetired) -> str:
    return f"not used any more: {event.why} {numbers.quantity(event.in_use, 'other endpoint')} left"


def _endpoints_changed(event: events.EndpointsChanged) -> str:
    parts = [f"{', '.join(event.joined)} joined"] if event.joined else []
    parts += [f"{', '.join(event.left)} left, what is in flight there is kept"] if event.left else []
    changes = [f"{event.file}: {'; '.join(parts)}; {numbers.quantity(event.in_use, 'endpoint')}"] if parts else []
    return "\n".join([*changes, *event.problems])


def _endpoint_held(event: events.EndpointHeld, utc: bool) -> str:
    until = numbers.time_of_day(event.until, utc=utc)
    return f"the endpoint asks for a wait ({event.why}): nothing is sent until {until}"


def _endpoint_up(event: events.EndpointUp, utc: bool) -> str:
    since, until = (numbers.time_of_day(at, utc=utc) for at in (event.since, event.until))
    sent = numbers.quantity(event.probes, "request")
    return f"endpoint is back after {numbers.duration(event.lasted_s)} ({since} to {until}, {sent} sent meanwhile)"


ENDPOINT_LINES: Mapping[type[Any], Callable[[Any], str]] = {
    events.LimitsRead: _limits_read,
    notices.LimitsShared: _limits_shared,
    notices.LeasesHeld: _leases_held,
    events.CeilingLowered: _ceiling_lowered,
    events.CeilingRaised: _ceiling_raised,
    events.EndpointRetired: _endpoint_retired,
    events.EndpointsChanged: _endpoints_changed,
}
LINES_WITH_TIMES: Mapping[type[Any], Callable[[Any, bool], str]] = {
    events.EndpointDown: _endpoint_down,
    events.EndpointUp: _endpoint_up,
    events.EndpointHeld: _endpoint_held,
}
"""Lines with a time of day, which is in UTC where the second argument says so."""
