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

_KEPT_BYTES = 16 << 20


def event_loop(running: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop where that is installed: about a third less CPU a request than asyncio's own loop."""
    _keep_freed_memory()
    with _collector_for_a_run():
        try:
            import uvloop
        except ImportError:
            return asyncio.run(running)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(running)


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to twice 16 MiB, for what is allocated next.

    glibc maps a large block by itself, and gives back the end of its heap once more than twice the largest such block
    is free there: it goes by what was freed before. Rows of 200 KB and their columns come and go by megabytes, so that
    memory went back to the system and came again with each few rows. Other allocators take no notice.
    """
    bytes(_KEPT_BYTES)  # it is never written to, and takes no memory


@contextmanager
def _collector_for_a_run() -> Iterator[None]:
    """Let the garbage collector run rarely, and pass over what is there when the run begins."""
    gc.freeze()
    try:
        with rare_collections():
            yield
    finally:
        gc.unfreeze()
