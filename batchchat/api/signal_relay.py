"""The process's signals, passed on to the runs that go on while the main thread waits for them.

Several runs may overlap there, as tasks of one event loop: each signal has one handler for all of them, which the last
run takes away. What came is raised again then, for whoever handled it before.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from batchchat.execution.signals import HANDLED

__all__ = ["Handler", "SignalRelay"]

Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
"""What `signal.getsignal` gives."""
_Interrupt = Callable[[int], None]


@dataclass(slots=True)
class _Claim:
    """A signal that is ours for now: its handler `before`, and how to interrupt each run that it is passed on to."""

    before: Handler
    runs: list[_Interrupt] = field(default_factory=list)
    has_come: bool = False


class SignalRelay:
    """Passes signals on. Only the main thread may handle signals: elsewhere nothing is changed."""

    def __init__(self) -> None:
        self._claims: dict[signal.Signals, _Claim] = {}
        self._pid = os.getpid()

    @contextmanager
    def passed_on(self, interrupt: _Interrupt, is_ours: Callable[[Handler], bool]) -> Iterator[list[int]]:
        """Call `interrupt` at each signal of which `is_ours` says so, given who handles it else.

        The list has the signals that are to be raised again afterwards; it is empty until then.
        """
        to_raise: list[int] = []
        if threading.current_thread() is not threading.main_thread():
            yield to_raise
            return
        if self._pid != os.getpid():  # in a process forked meanwhile, the claims are its parent's
            self._pid, self._claims = os.getpid(), {}
        try:
            for number in HANDLED:
                self._claim(number, interrupt, is_ours)
            yield to_raise
        finally:
            to_raise += [number for number in HANDLED if self._release(number, interrupt)]

    def _claim(self, number: signal.Signals, interrupt: _Interrupt, is_ours: Callable[[Handler], bool]) -> None:
        claim = self._claims.get(number)
        before = signal.getsignal(number) if claim is None else claim.before
        if before is None or not is_ours(before):  # None: it was not set by Python, and can't be set again
            return
        if claim is None:
            claim = self._claims[number] = _Claim(before)
            signal.signal(number, self._handle)
        claim.runs.append(interrupt)
        if claim.has_come:  # it is to end the process as soon as the other runs have ended
            interrupt(number)

    def _release(self, number: signal.Signals, interrupt: _Interrupt) -> bool:
        """Whether the signal came and no other run waits for it any more."""
        claim = self._claims.get(number)
        if claim is None or interrupt not in claim.runs:
            return False
        claim.runs.remove(interrupt)
        if claim.runs:
            return False
        if signal.getsignal(number) == self._handle:  # else somebody else has taken it meanwhile
            signal.signal(number, claim.before)
        del self._claims[number]
        return claim.has_come

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        claim = self._claims.get(signal.Signals(number))
        if claim is None:
            return
        if self._pid != os.getpid():  # forked meanwhile: the runs are the parent's
            signal.signal(number, claim.before)
            signal.raise_signal(number)
            return
        claim.has_come = True
        for interrupt in [*claim.runs]:
            interrupt(number)
