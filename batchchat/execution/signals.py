"""SIGINT, SIGTERM and SIGHUP: the first drains, the second stops at once. Either way the exit code is 128 + number.

Handlers are set with `signal.signal`, which takes the place of the one before in one step and gives it back for later:
an event loop's `remove_signal_handler` leaves the system's own, which would end the process by the signal.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["HANDLED", "Signals"]

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Handler = Callable[[int, FrameType | None], Any]


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


class Signals:
    """Handles the signals `numbers`, and calls back on each. `received` is the number of the first that came."""

    def __init__(self, numbers: Sequence[signal.Signals] = HANDLED) -> None:
        self._numbers = numbers
        self.received: int | None = None
        self.impatient = False
        self._handled: Sequence[signal.Signals] = ()
        self._listeners: list[Callable[[], None]] = []

    @classmethod
    def here(cls) -> Signals:
        """The process's signals in the main thread; elsewhere none, since only the main thread may handle them."""
        return cls() if threading.current_thread() is threading.main_thread() else cls(())

    @property
    def name(self) -> str:
        """`SIGTERM`."""
        return signal.Signals(self.received).name if self.received is not None else ""

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them inside the running event loop. One that was ignored before, as under nohup, stays so."""
        loop = asyncio.get_running_loop()

        def handler(number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.receive, number)

        self._handled = [number for number in self._numbers if signal.getsignal(number) is not signal.SIG_IGN]
        with _handlers(self._handled, handler):
            try:
                yield
            finally:
                self._handled = ()

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """Let them end the process at once, where the loop stands still and nothing would be lost."""
        with _handlers(self._handled, _leave):
            yield

    @contextmanager
    def caught(self, catch: Callable[[], None]) -> Iterator[None]:
        """Let them do no more than call `catch`, while the loop stands still and the run has ended."""
        with _handlers(self._handled, lambda _number, _frame: catch()):
            yield

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` at each signal; at once if one came already."""
        self._listeners.append(listener)
        try:
            if self.received is not None:
                listener()
            yield
        finally:
            self._listeners.remove(listener)

    def receive(self, number: int) -> None:
        """Act on signal `number`, in the thread of the event loop; who handles signals elsewhere calls it."""
        if self.received is not None:
            self.impatient = True
        else:
            self.received = number
        for listener in [*self._listeners]:
            listener()


@contextmanager
def _handlers(numbers: Sequence[signal.Signals], handler: _Handler) -> Iterator[None]:
    """Handle `numbers` by `handler`, and by what handled them before again afterwards."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) is handler:  # else somebody else has taken it meanwhile
                signal.signal(number, earlier)
