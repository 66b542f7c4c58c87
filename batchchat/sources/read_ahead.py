"""Reads from a store in a thread while what was read before is used, so that the event loop need not wait for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from threading import Condition
from typing import Generic, Self, TypeVar

from batchchat.object_store.threads import in_background

__all__ = ["ReadAhead"]

T = TypeVar("T")

_ITEMS_AHEAD = 2
_ITEMS_BEFORE_AHEAD = 2
"""How many items are made before any is made ahead: a look at the first rows needs no more."""


class ReadAhead(Generic[T]):
    """The `items`, made in a thread that is never more than a few ahead of who takes them.

    What making them raises is raised where they are taken. The first is begun at once.
    """

    def __init__(self, items: Generator[T, None, None]) -> None:
        self._source = items
        self._items: list[T] = []
        self._wanted = 0
        self._is_ahead = False
        self._read = 0
        self._error: BaseException | None = None
        self._is_stopped = False
        self._changed = Condition()
        in_background(self._run)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """The next item; it blocks until it was made."""
        with self._changed:
            self._wanted += 1
            self._is_ahead = self._is_ahead or self._wanted > _ITEMS_BEFORE_AHEAD
            self._changed.notify_all()
            while not self._items and self._error is None:
                self._changed.wait()
            if not self._items:
                assert self._error is not None
                raise self._error
            return self._items.pop(0)

    def has_next(self) -> bool:
        """Whether the next item is there, or none will be; from now on they are made ahead."""
        with self._changed:
            if not self._is_ahead:
                self._is_ahead = True
                self._changed.notify_all()
            return bool(self._items) or self._error is not None

    @property
    def is_at_end(self) -> bool:
        """Whether all items were taken."""
        with self._changed:
            return not self._items and isinstance(self._error, StopIteration)

    def stop(self) -> None:
        """Nobody takes any more."""
        with self._changed:
            self._is_stopped = True
            self._items.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        error: BaseException = StopIteration()
        try:
            with closing(self._source):  # in this thread, which may have a file open in it
                for item in self._source:
                    if not self._put(item):
                        break
        except BaseException as raised:  # noqa: BLE001 (it is raised where the item is taken)
            error = raised
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Hand `item` over, and wait until another may be made; False where nobody takes any more."""
        with self._changed:
            if not self._is_stopped:
                self._items.append(item)
                self._read += 1
                self._changed.notify_all()
            while not self._is_stopped and self._read >= self._limit():
                self._changed.wait()
            return not self._is_stopped

    def _limit(self) -> int:
        """How many items may have been made by now."""
        return self._wanted + (_ITEMS_AHEAD if self._is_ahead else 0)
