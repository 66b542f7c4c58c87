"""SIGINT, SIGTERM and SIGHUP: the first drains, the second stops at once. Either way the exit code is 128 + number."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["HANDLED", "Signals"]

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _held_back() -> Iterator[None]:
    """Between two handlers stands the system's own, which would end the process by the signal and not by its code."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


class Signals:
    """What came of `numbers`, and whom to tell. `received` is the first signal's number."""

    def __init__(self, numbers: Sequence[signal.Signals] = HANDLED) -> None:
        self._numbers = numbers
        self.received: int | None = None
        self.impatient = False
        self._heard: Sequence[signal.Signals] = ()
        self._changed: list[Callable[[], None]] = []

    @classmethod
    def here(cls) -> Signals:
        """The process's signals in the main thread; elsewhere none, since only the main thread may handle them."""
        return cls() if threading.current_thread() is threading.main_thread() else cls(())

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them inside the running event loop. One that was ignored before, as under nohup, stays so."""
        self._listen(self._numbers)
        try:
            yield
        finally:
            self._listen(())

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """Let them end the process at once, where the loop stands still and nothing would be lost."""
        if not self._heard:
            yield
            return
        heard = self._heard
        with _held_back():
            self._listen(())
            before = {number: signal.signal(number, _leave) for number in heard}
        try:
            yield
        finally:
            with _held_back():
                for number, handler in before.items():
                    signal.signal(number, handler)
                self._listen(heard)

    def _listen(self, numbers: Sequence[signal.Signals]) -> None:
        loop = asyncio.get_running_loop()
        for number in self._heard:
            loop.remove_signal_handler(number)
        self._heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
        for number in self._heard:
            loop.add_signal_handler(number, self._came, number)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` at each signal; at once if one came already."""
        self._changed.append(tell)
        if self.received is not None:
            tell()

    @property
    def name(self) -> str:
        """`SIGTERM`."""
        return signal.Signals(self.received).name if self.received is not None else ""

    def _came(self, number: int) -> None:
        if self.received is not None:
            self.impatient = True
        else:
            self.received = number
        for tell in self._changed:
            tell()
