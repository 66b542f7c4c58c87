"""Passes a run's events on to several subscribers."""

from __future__ import annotations

from collections.abc import Iterable

from batchchat.core.events import Event, Subscriber

__all__ = ["Subscribers"]


class Subscribers:
    """Calls several subscribers; one whose output fails is dropped, and the run continues without it."""

    def __init__(self, subscribers: Iterable[Subscriber] = ()) -> None:
        self._subscribers = [*subscribers]

    def add(self, subscriber: Subscriber) -> None:
        """Add a subscriber for the events from now on."""
        self._subscribers.append(subscriber)

    def __call__(self, event: Event) -> None:
        for subscriber in [*self._subscribers]:
            try:
                subscriber(event)
            except (OSError, ValueError):  # a terminal that hung up, a pipe nobody reads, a full disk
                self._subscribers.remove(subscriber)
