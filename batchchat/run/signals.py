"""SIGINT, SIGTERM and SIGHUP: the first drains, the second stops at once. Either way the exit code is 128 + number."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["Signals"]

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _held_back() -> Iterator[None]:
    """Between two handlers stands the system's own, which would end the process by the signal and not by its code."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


class Signals:
    """What came, and whom to tell. `received` is the first signal's number."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.impatient = False
        self._heard: Sequence[signal.Signals] = ()
        self._changed: list[Callable[[], None]] = []

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle them inside the running event loop. One that was ignored before, as under nohup, stays so."""
        self._listen(_HANDLED)
        try:
            yield
        finally:
            self._listen(())

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """Let them end the process at once, where the loop stands still and nothing would be lost."""
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
