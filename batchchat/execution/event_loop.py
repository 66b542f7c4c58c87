"""The event loop of a process that sends, and its garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["event_loop"]

T = TypeVar("T")


def event_loop(running: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop where that is installed: about a third less CPU a request than asyncio's own loop."""
    with _collector_for_a_run():
        try:
            import uvloop
        except ImportError:
            return asyncio.run(running)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(running)


@contextmanager
def _collector_for_a_run() -> Iterator[None]:
    """Make the garbage collector run rarely.

    A run allocates a lot and creates hardly any cycles. By default, with a collection every 700 allocations, it takes a
    fifth of the CPU time per row (measured at 64 in flight: 300 us a row, 240 us here); memory is the same.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
