"""What the workers of a run have to say, told as one run would tell it: once, and in its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from batchchat.cluster.assignment import ModelsListed
from batchchat.core.events import (
    CeilingLowered,
    CeilingRaised,
    ContextLimitFound,
    CostOutlier,
    Draining,
    EndpointDown,
    EndpointHeld,
    EndpointUp,
    Event,
    FirstFailure,
    GatewayTimeoutFound,
    OtherModelServed,
    OtherTierServed,
    PriceRatioRaised,
    Progress,
    PromptTruncated,
    ResponseFormatRefused,
    StreamNoticed,
    Subscriber,
)
from batchchat.pricing.rates import ListedModel

__all__ = ["WorkerNews"]

_MIN_HOLD_S = 1.0
_DOWN_AGAIN_S = 50.0  # each worker repeats it once a minute
_OF_THE_RUN = (FirstFailure, Draining)
"""The run has these from its own figures, or says them itself."""


class WorkerNews:
    """Passes on to `tell` what workers say, and to `learn` the endpoint's list of models.

    `latest` has the progress of each that is at work, by its partition.
    """

    def __init__(self, tell: Subscriber, learn: Callable[[Mapping[str, ListedModel]], None]) -> None:
        self._tell = tell
        self._learn = learn
        self.latest: dict[int, Progress] = {}
        self.left: int | None = None
        """Rows of the run that are to be finished yet; None where that is not known."""
        self._retries = Counter[str]()
        """Those of workers that have ended."""
        self._ceiling: int | None = None
        """The ceiling over all workers, as it was reported last."""
        self._noticed = set[object]()
        self._down: dict[int, EndpointDown] = {}
        self._told_down_at: float | None = None
        self._held_until = 0.0
        self._max_ratio = Decimal(1)
        self._max_outlier = Decimal(0)
        self._overruns: dict[int, Decimal] = {}

    @property
    def is_down(self) -> bool:
        """Whether no worker gets an answer of the endpoint."""
        return bool(self.latest) and self._down.keys() >= self.latest.keys()

    def retries(self) -> dict[str, int]:
        """The retried attempts of the workers, by the kind of their failure."""
        counts = self._retries.copy()
        for progress in self.latest.values():
            counts.update(progress.retries)
        return dict(counts)

    def hear(self, number: int, event: Event | ModelsListed) -> None:
        """What the worker of partition `number` says."""
        if isinstance(event, ModelsListed):
            self._learn(event.listed)
        elif isinstance(event, Progress):
            self.latest[number] = event
        elif isinstance(event, EndpointDown):
            self._went_down(number, event)
        elif isinstance(event, EndpointUp):
            self._came_up(number, event)
        elif isinstance(event, CeilingLowered | CeilingRaised):
            self._ceiling_moved(number, event)
        elif isinstance(event, PriceRatioRaised):
            self._ratio_rose(number, event)
        elif not isinstance(event, _OF_THE_RUN) and self._is_new(event):
            self._tell(event)

    def ended(self, number: int) -> None:
        """The worker of partition `number` is at work no more."""
        if (progress := self.latest.pop(number, None)) is not None:
            self._retries.update(progress.retries)
        self._down.pop(number, None)

    def _ceiling_moved(self, number: int, event: CeilingLowered | CeilingRaised) -> None:
        """One worker's ceiling is a part of the run's: what is reported is their sum, where it has moved that way."""
        after = event.after + sum(progress.ceiling for of, progress in self.latest.items() if of != number)
        before = after - event.after + event.before if self._ceiling is None else self._ceiling
        if (after < before) is isinstance(event, CeilingLowered) and after != before:
            self._ceiling = after
            self._tell(event._replace(before=before, after=after))

    def _went_down(self, number: int, event: EndpointDown) -> None:
        self._down[number] = event
        if not self.is_down:
            return
        down = min(self._down.values(), key=lambda worker_event: worker_event.since)
        if self._told_down_at is None or event.since + event.probe_in_s > self._told_down_at + _DOWN_AGAIN_S:
            self._told_down_at = event.since + event.probe_in_s
            self._tell(event._replace(since=down.since, left=self.left))

    def _came_up(self, number: int, event: EndpointUp) -> None:
        self._down.pop(number, None)
        if self._told_down_at is not None:
            self._told_down_at = None
            self._tell(event)

    def _ratio_rose(self, number: int, event: PriceRatioRaised) -> None:
        is_first_overrun = event.overrun_usd and not any(self._overruns.values())
        self._overruns[number] = event.overrun_usd
        if event.ratio > self._max_ratio or is_first_overrun:
            self._max_ratio = max(event.ratio, self._max_ratio)
            self._tell(PriceRatioRaised(self._max_ratio, sum(self._overruns.values(), Decimal(0))))

    def _is_new(self, event: Event) -> bool:
        """Whether no other worker has said it."""
        if isinstance(event, CostOutlier):
            is_higher = event.ratio > self._max_outlier
            self._max_outlier = max(event.ratio, self._max_outlier)
            return is_higher
        if isinstance(event, EndpointHeld):
            is_longer = event.until > self._held_until + _MIN_HOLD_S
            self._held_until = max(event.until, self._held_until)
            return is_longer
        if (key := _key_of(event)) is None:
            return True
        is_new = key not in self._noticed
        self._noticed.add(key)
        return is_new


def _key_of(event: Event) -> Any:
    """What a notice is about, of which the first counts; None for an event that is told each time."""
    if isinstance(event, StreamNoticed):
        return StreamNoticed, event.what
    if isinstance(event, ResponseFormatRefused):
        return ResponseFormatRefused, event.model, event.refused
    if isinstance(event, OtherModelServed | OtherTierServed):
        return type(event), event
    return type(event) if isinstance(event, ContextLimitFound | GatewayTimeoutFound | PromptTruncated) else None
