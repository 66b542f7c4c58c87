"""A run in a thread of its own, with an event loop of its own: whatever the caller's thread does, it stays as it is.

It is one way for a script, a thread, a running event loop and a notebook. The caller waits, and passes on the signals.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextvars
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Generic, TypeVar

from batchchat.api.signal_relay import SignalRelay
from batchchat.errors import BatchchatError, UsageError, error_of_machine
from batchchat.execution.signals import Signals

__all__ = ["BackgroundRun", "machine_errors", "wait", "wait_async"]

T = TypeVar("T")
_LOOK_EVERY_S = 0.2
"""A signal may arrive in another thread than the main one; its handler runs when that wakes."""
_RELAY = SignalRelay()
_UNHANDLED = (signal.SIG_DFL, signal.default_int_handler)


class BackgroundRun(Generic[T]):
    """A coroutine that runs in a thread, once it is started. It gets the signals that `interrupt` passes on."""

    def __init__(self, coroutine: Callable[[Signals], Coroutine[Any, Any, T]]) -> None:
        self.future: Future[T] = Future()
        self.signals = Signals(())
        self._coroutine = coroutine
        self._loop = _new_event_loop()
        self._is_disposable = threading.current_thread().daemon
        context = contextvars.copy_context()  # a notebook's output finds its cell by it
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="batchchat")

    def start(self) -> None:
        """Begin; who waits for the end handles the signals already. Raises `UsageError` where the program has ended."""
        if _interpreter_ends.is_set():
            self._loop.close()
            raise UsageError(
                "The program's main thread has ended, so that no run can begin. Let it wait for the thread that calls"
                " this (`thread.join()`)."
            )
        _GOING_ON.add(self)
        try:
            self._thread.start()
        except RuntimeError:  # the machine has no thread left
            _GOING_ON.discard(self)
            self._loop.close()
            raise

    def _work(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                result = runner.run(self._coroutine(self.signals))
        except BaseException as error:  # noqa: BLE001 (it is raised where the caller waits)
            self.future.set_exception(error)
        else:
            self.future.set_result(result)
        finally:
            _GOING_ON.discard(self)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Stop as by signal `number`: the first lets what is in flight finish, the second ends the run at once."""
        if not self.future.done():
            with suppress(RuntimeError):  # the loop is closed: the run has just ended
                self._loop.call_soon_threadsafe(self.signals.receive, number)

    def sleep_until_done(self) -> None:
        """Wait for the end. Raises whatever a handler of signals does meanwhile."""
        done = threading.Event()
        self.future.add_done_callback(lambda _: done.set())
        while not done.wait(_LOOK_EVERY_S):
            pass

    def finish_before_exit(self) -> None:
        """Wait for the end, in the main thread of an interpreter that ends; Ctrl-C stops the run.

        Of a caller whose thread is a daemon, which is not waited for, it is stopped.
        """
        if self._is_disposable:
            self.interrupt()
        while True:
            try:
                return self.sleep_until_done()
            except BaseException:  # noqa: BLE001 (the program has ended: nobody is there to catch it)
                self.interrupt()

    def join(self) -> None:
        """Wait until the thread is gone, of a run that has ended."""
        if self._thread.ident is not None:
            self._thread.join()


_GOING_ON: set[BackgroundRun[Any]] = set()


_interpreter_ends = threading.Event()


def _finish_before_exit() -> None:
    _interpreter_ends.set()
    for run in [*_GOING_ON]:
        run.finish_before_exit()


# Where the main thread ends before a thread that runs a job, the interpreter ends all executors first, that of the
# journal too, and only then waits for threads. Nothing public is called before that; the last registered is first.
assert concurrent.futures.thread, "it has registered itself"
try:
    getattr(threading, "_register_atexit", lambda _: None)(_finish_before_exit)
except RuntimeError:
    _interpreter_ends.set()


@contextmanager
def machine_errors(redact: Callable[[str], str], sent: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Raise what the operating system refuses as the error of the tree that says it; rows may have been `sent`."""
    try:
        yield
    except (OSError, MemoryError) as error:
        of_machine = error_of_machine(error, sent=sent())
        if of_machine is None:
            raise
        raise type(of_machine)(redact(str(of_machine))) from error


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def wait(run: BackgroundRun[T]) -> T:
    """The result of `run`, which is started; in the main thread its signals are passed on to it meanwhile.

    Whatever interrupts the wait stops the run as Ctrl-C does, and is raised when the run has ended. A signal is passed
    on at the end to who handled it before: by default Ctrl-C raises `KeyboardInterrupt`, and others end the process.
    """
    interruption: BaseException | None = None
    with _RELAY.passed_on(run.interrupt, lambda handler: handler is not signal.SIG_IGN) as to_raise:
        try:
            run.start()
        except (RuntimeError, UsageError):
            raise
        except BaseException as error:  # noqa: BLE001 (raised below: the thread runs already)
            interruption = error
            run.interrupt()
        while True:
            try:
                run.sleep_until_done()
                break
            except BaseException as error:  # noqa: BLE001 (raised below)
                interruption = interruption or error
                run.interrupt()
    return _result(run, to_raise, interruption)


async def wait_async(run: BackgroundRun[T]) -> T:
    """The result of `run`, which is started, in a running event loop, which has its own way with signals.

    Those that nobody handles are passed on as in `wait`. A cancellation stops the run as Ctrl-C does, a second one at
    once; `CancelledError` is raised when it has ended.
    """
    interruption: BaseException | None = None
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    def wake_from_thread(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(wake)

    run.future.add_done_callback(wake_from_thread)
    with _RELAY.passed_on(run.interrupt, lambda handler: handler in _UNHANDLED) as to_raise:
        run.start()
        while not run.future.done():
            try:
                with nullcontext() if interruption is None else _shielded():
                    await asyncio.wait([ended], timeout=_LOOK_EVERY_S * 5)
            except asyncio.CancelledError as error:
                interruption = interruption or error
                run.interrupt()
            except BaseException:  # the loop ends without us: nobody will wait
                run.interrupt()
                raise
    return _result(run, to_raise, interruption)


def _shielded() -> AbstractContextManager[Any]:
    """In a cancelled scope of anyio each `await` is cancelled anew; that is one cancellation, and is had already."""
    anyio: Any = sys.modules.get("anyio")
    return nullcontext() if anyio is None else anyio.CancelScope(shield=True)


def _result(run: BackgroundRun[T], to_raise: Sequence[int], interruption: BaseException | None) -> T:
    """What the caller gets. A signal that came is raised even where the run ended with an error."""
    run.join()
    error = run.future.exception()
    for number in to_raise:
        try:
            signal.raise_signal(number)
        except BaseException as raised:  # noqa: BLE001 (raised below, when no signal is left)
            interruption = interruption or raised
    if isinstance(error, BatchchatError):
        error = error.with_traceback(None)  # its sentence says all there is to know
        error.__suppress_context__ = True
    if interruption is not None:
        raise interruption from error
    if isinstance(error, BatchchatError):
        raise error from None
    return run.future.result()
