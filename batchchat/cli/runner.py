"""A session played from a command: who is told of it, where its log goes, and on which event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from batchchat.core.events import Event, Subscriber
from batchchat.job import JobSpec

__all__ = ["Subscribers", "at_a_terminal", "event_loop", "follower_of", "logs_of"]

T = TypeVar("T")


class Subscribers:
    """Tells several; one that can't be told any more is left out: the run goes on unseen."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = [*subscribers]

    def add(self, subscribers: Sequence[Subscriber]) -> None:
        """Tell these as well from now on."""
        self._subscribers.extend(subscribers)

    def __call__(self, event: Event) -> None:
        for subscriber in [*self._subscribers]:
            try:
                subscriber(event)
            except (OSError, ValueError):  # a terminal that hung up, a pipe nobody reads, a full disk
                self._subscribers.remove(subscriber)


def at_a_terminal() -> bool:
    """Whether there is somebody to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def logs_of(
    folder: Path, job: JobSpec, again: Callable[[tuple[str, ...]], str], plain: str, stack: ExitStack
) -> list[Subscriber]:
    """What follows the run in its folder: run.log and run.json."""
    from batchchat.run.state_file import StateFile, environment_of
    from batchchat.text.progress import log_file

    found: list[Subscriber] = [StateFile(folder, job, again, plain)]
    with suppress(OSError):  # a run goes on without its log
        log: IO[str] = (folder / "run.log").open("a", encoding="utf-8", errors="backslashreplace")
        stack.callback(_close, log)
        found.append(log_file(log))
        found[-1](environment_of(job))
    return found


def _close(log: IO[str]) -> None:
    with suppress(OSError):  # what a full disk could not take is lost to the log, and to nothing else
        log.close()


def follower_of(progress: str) -> Subscriber:
    """What follows a run on stderr."""
    from batchchat.text.progress import Bar, Lines, Silent

    if progress == "auto":
        progress = "bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "log"
    if progress == "none":
        return Silent()
    return Bar(sys.stderr) if progress == "bar" else Lines(lambda line: click.echo(line, err=True))


def event_loop(play: Coroutine[Any, Any, T]) -> T:
    """Run `play` on uvloop where that is installed: about a third less CPU a request than asyncio's own loop."""
    # A run allocates much and makes hardly a cycle. Looked at every 700 allocations, as is the default, its young
    # objects cost a fifth of all CPU a row (measured at 64 in flight: 300 us a row, 240 so); memory is the same.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(play)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play)
