"""Calls that wait for a network, in threads of their own: a signal finds the program waiting and not inside a library.

Nothing waits for the threads, the end of the program neither: a signal that ends it does so at once, in the middle of
an upload.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

__all__ = ["in_background", "in_parallel", "interruptible"]

T = TypeVar("T")
R = TypeVar("R")


def in_background(call: Callable[[], None]) -> None:
    """Run `call`, which raises nothing, in a thread."""
    Thread(target=call, name="store", daemon=True).start()


def in_parallel(call: Callable[[T], R], items: Sequence[T], at_once: int) -> list[R]:
    """What `call` returns for each of `items`, `at_once` at a time; a signal ends the wait for it.

    Raises the first exception, when the calls that were begun before it have ended; no more are begun.
    """
    waiting = deque(enumerate(items))
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    results: dict[int, Any] = {}

    def work() -> None:
        try:
            while (item := _next_of(waiting)) is not None:
                results[item[0]] = call(item[1])
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            waiting.clear()
            ended.put(error)
        else:
            ended.put(None)

    workers = min(at_once, len(items))
    for _ in range(workers):
        in_background(work)
    errors = [error for _ in range(workers) if (error := ended.get()) is not None]
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(items))]


def _next_of(waiting: deque[tuple[int, T]]) -> tuple[int, T] | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def interruptible(call: Callable[[], R]) -> R:
    """What `call` returns or raises; a signal ends the wait for it."""
    (result,) = in_parallel(lambda _: call(), (None,), 1)
    return result
