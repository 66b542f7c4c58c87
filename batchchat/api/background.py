"""A run in a thread of its own, with an event loop of its own: whatever the caller's thread does, it stays as it is.

It is one way for a script, a thread, a running event loop and a notebook. The caller waits, and passes on the signals.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import Any, Generic, TypeVar

from batchchat.errors import BatchchatError
from batchchat.execution.signals import HANDLED, Signals

__all__ = ["BackgroundRun", "wait", "wait_async"]

T = TypeVar("T")
_LOOK_EVERY_S = 0.2
"""A signal may arrive in another thread than the main one; its handler runs when that wakes."""


class BackgroundRun(Generic[T]):
    """A coroutine that runs in a thread. `start` makes it; it gets the signals that `interrupt` passes on."""

    def __init__(self, start: Callable[[Signals], Coroutine[Any, Any, T]]) -> None:
        self.future: Future[T] = Future()
        self.signals = Signals(())
        self._start = start
        self._loop = _new_event_loop()
        context = contextvars.copy_context()  # a notebook's output finds its cell by it
        # Not a daemon: where the interpreter ends first, it waits until what is in flight has been kept.
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="batchchat")
        self._thread.start()

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                result = runner.run(self._start(self.signals))
        except BaseException as error:  # noqa: BLE001 (it is raised where the caller waits)
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Stop as by signal `number`: the first lets what is in flight finish, the second ends the run at once."""
        if not self.future.done():
            try:
                self._loop.call_soon_threadsafe(self.signals.receive, number)
            except RuntimeError:  # it is closed: the run has just ended
                return


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def wait(run: BackgroundRun[T]) -> T:
    """The result of `run`; in the main thread its signals are passed on to it meanwhile.

    Whatever interrupts the wait stops the run as Ctrl-C does, and is raised when the run has ended. A signal is passed
    on at the end to who handled it before: by default Ctrl-C raises `KeyboardInterrupt`, and others end the process.
    """
    interruption: BaseException | None = None
    with _passed_on(run, is_ours=lambda handler: handler is not signal.SIG_IGN) as received:
        while not run.future.done():
            try:
                _sleep_until_done(run)
            except BaseException as error:  # noqa: BLE001 (raised below)
                interruption = interruption or error
                run.interrupt()
    return _result(run, received, interruption)


async def wait_async(run: BackgroundRun[T]) -> T:
    """The result of `run`, in a running event loop, which has its own way with signals.

    Those that nobody handles are passed on as in `wait`. A cancellation stops the run as Ctrl-C does, a second one at
    once; `CancelledError` is raised when it has ended.
    """
    interruption: BaseException | None = None
    unclaimed = (signal.SIG_DFL, signal.default_int_handler)
    with _passed_on(run, is_ours=lambda handler: handler in unclaimed) as received:
        while not run.future.done():
            try:
                await asyncio.wait([asyncio.wrap_future(run.future)], timeout=_LOOK_EVERY_S * 5)
            except asyncio.CancelledError as error:
                interruption = interruption or error
                run.interrupt()
    return _result(run, received, interruption)


def _sleep_until_done(run: BackgroundRun[Any]) -> None:
    done = threading.Event()
    run.future.add_done_callback(lambda _: done.set())
    while not done.wait(_LOOK_EVERY_S):
        pass


def _result(run: BackgroundRun[T], received: list[int], interruption: BaseException | None) -> T:
    error = run.future.exception()
    if error is None and received:
        signal.raise_signal(received[0])
    if interruption is not None:
        raise interruption
    if isinstance(error, BatchchatError):
        raise error.with_traceback(None) from None  # its sentence says all there is to know
    return run.future.result()


_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


@contextmanager
def _passed_on(run: BackgroundRun[Any], is_ours: Callable[[_Handler], bool]) -> Iterator[list[int]]:
    """Pass the process's signals on to `run`, those of which `is_ours` says so; gives the numbers that came.

    Only the main thread may handle signals; elsewhere nothing is changed.
    """
    received: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        run.interrupt(number)

    before: dict[signal.Signals, _Handler] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                earlier = signal.getsignal(number)
                if earlier is not None and is_ours(earlier):
                    before[number] = earlier
                    signal.signal(number, handler)
        yield received
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) is handler:  # else somebody else has taken it meanwhile
                signal.signal(number, earlier)
