"""Who is told of a run's events."""

from __future__ import annotations

from collections.abc import Iterable

from batchchat.core.events import Event, Subscriber

__all__ = ["Subscribers"]


class Subscribers:
    """Tells several; one that can't be told any more is left out, and the run goes on unseen."""

    def __init__(self, subscribers: Iterable[Subscriber] = ()) -> None:
        self._subscribers = [*subscribers]

    def add(self, subscriber: Subscriber) -> None:
        """Tell this one as well from now on."""
        self._subscribers.append(subscriber)

    def __call__(self, event: Event) -> None:
        for subscriber in [*self._subscribers]:
            try:
                subscriber(event)
            except (OSError, ValueError):  # a terminal that hung up, a pipe nobody reads, a full disk
                self._subscribers.remove(subscriber)
