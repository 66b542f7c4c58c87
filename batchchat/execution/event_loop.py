"""The event loop of a process that sends, and its garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from batchchat.execution.collector import rare_collections

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
    """Let the garbage collector run rarely, and pass over what is there when the run begins."""
    gc.freeze()
    try:
        with rare_collections():
            yield
    finally:
        gc.unfreeze()
