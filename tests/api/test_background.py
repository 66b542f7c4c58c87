"""A run in a thread: who waits for it is interrupted, and the run has ended when that is raised."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

from batchchat.api.background import BackgroundRun, wait, wait_async
from batchchat.errors import EndpointError
from batchchat.execution.signals import HANDLED, Signals
from tests.acceptance.job import PATIENCE_S


def until_stopped(
    began: Callable[[], object] = lambda: None,
    error: Exception | None = None,
    patience_s: float = 0.1,
    stops: Callable[[], object] = lambda: None,
) -> Callable[[Signals], Coroutine[Any, Any, int]]:
    """A run that ends `patience_s` after a signal, with its number, or with `error`; a second one ends it at once.

    `began` is called when it waits for the first, `stops` when that has come.
    """

    async def run(signals: Signals) -> int:
        stopped = asyncio.Event()
        with signals.listening(stopped.set):
            began()
            await stopped.wait()
            stopped.clear()
            stops()
            if not signals.impatient:
                await asyncio.wait([asyncio.ensure_future(stopped.wait())], timeout=patience_s)
        if error is not None:
            raise error
        return -signals.received if signals.impatient else signals.received  # type: ignore[operator,return-value]

    return run


def press(number: int) -> Callable[[], object]:
    return lambda: os.kill(os.getpid(), number)


@contextmanager
def handled(number: int) -> Iterator[list[int]]:
    """A handler of the program's own; gives what came."""
    came: list[int] = []

    def handler(got: int, _frame: FrameType | None) -> None:
        came.append(got)

    before = signal.signal(number, handler)
    try:
        yield came
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


@pytest.fixture(autouse=True)
def same_process() -> Iterator[None]:
    """Handlers and threads are afterwards as they were before."""
    before = [signal.getsignal(number) for number in HANDLED], threading.active_count()
    yield
    assert ([signal.getsignal(number) for number in HANDLED], threading.active_count()) == before


def test_ctrl_c_is_raised_after_the_drain() -> None:
    """By Python's own handler."""
    run = BackgroundRun(until_stopped(press(signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt):
        wait(run)
    assert run.future.result() == signal.SIGINT


@pytest.mark.parametrize("number", HANDLED)
def test_a_handler_of_the_program_is_called_once(number: int) -> None:
    """After the drain; where it raises nothing, the call returns what the run gave. Twice ends the run at once."""
    with handled(number) as came:
        assert wait(BackgroundRun(until_stopped(press(number)))) == number
        assert came == [number]
    with handled(number) as came:
        # The second comes when the first was seen: two at once may be one for a process that has no time.
        assert wait(BackgroundRun(until_stopped(press(number), patience_s=30, stops=press(number)))) == -number
        assert came == [number]


def test_an_error_hides_no_signal() -> None:
    """A loop over jobs that catches their errors ends by Ctrl-C all the same; the error is its cause."""
    with pytest.raises(KeyboardInterrupt) as caught:
        wait(BackgroundRun(until_stopped(press(signal.SIGINT), EndpointError("down"))))
    assert isinstance(caught.value.__cause__, EndpointError)
    with handled(signal.SIGTERM) as came, pytest.raises(EndpointError):
        wait(BackgroundRun(until_stopped(press(signal.SIGTERM), EndpointError("down"))))
    assert came == [signal.SIGTERM]


def test_of_two_signals_both_are_raised() -> None:
    """SIGTERM after Ctrl-C is not lost."""
    with handled(signal.SIGTERM) as came, pytest.raises(KeyboardInterrupt):
        wait(BackgroundRun(until_stopped(lambda: (press(signal.SIGINT)(), press(signal.SIGTERM)()))))
    assert came == [signal.SIGTERM]


def test_an_ignored_signal_stays_so() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled(signal.SIGTERM):
            run = BackgroundRun(until_stopped(lambda: (press(signal.SIGHUP)(), press(signal.SIGTERM)())))
            assert wait(run) == signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


def test_any_exception_that_ends_the_wait_stops_the_run() -> None:
    """That of a timeout by SIGALRM, say: nothing goes on unattended."""

    def alarm(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("the test's own")

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        run = BackgroundRun(until_stopped(press(signal.SIGALRM)))
        with pytest.raises(TimeoutError, match="own"):
            wait(run)
        assert run.future.result() == signal.SIGINT
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_run_begins_when_signals_are_handled() -> None:
    """Else a Ctrl-C in between would leave a run that nobody waits for."""
    handlers: list[Any] = []

    async def look(_signals: Signals) -> None:
        handlers.append(signal.getsignal(signal.SIGINT))

    wait(BackgroundRun(look))
    assert handlers[0] is not signal.default_int_handler


def test_in_another_thread_nothing_is_handled() -> None:
    """Only the main thread may; a signal's handler is the program's."""
    with handled(signal.SIGTERM) as came:
        runs: list[BackgroundRun[int]] = []

        def work() -> None:
            runs.append(BackgroundRun(until_stopped(press(signal.SIGTERM))))
            wait(runs[0])

        thread = threading.Thread(target=work)
        thread.start()
        while not came:
            thread.join(0.01)
        runs[0].interrupt(signal.SIGHUP)
        thread.join()
        assert runs[0].future.result() == signal.SIGHUP


class Moments(NamedTuple):
    """Set once the run waits for a signal, and once it has seen one."""

    began: asyncio.Event
    stops: asyncio.Event


def cancelled(main: Callable[[Moments, BackgroundRun[int]], Coroutine[Any, Any, Any]], patience_s: float = 0.1) -> int:
    """What a run gave whose event loop runs `main`, with its moments."""

    async def whole() -> BackgroundRun[int]:
        moments, loop = Moments(asyncio.Event(), asyncio.Event()), asyncio.get_running_loop()
        began, stops = (lambda event=event: loop.call_soon_threadsafe(event.set) for event in moments)
        run = BackgroundRun(until_stopped(began, patience_s=patience_s, stops=stops))
        await main(moments, run)
        return run

    return asyncio.run(whole()).future.result()


def test_a_cancelled_task_has_drained() -> None:
    """Cancelled once it drains, twice it ends at once; `CancelledError` either way."""

    async def once(moments: Moments, run: BackgroundRun[int]) -> None:
        task = asyncio.create_task(wait_async(run))
        await moments.began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def twice(moments: Moments, run: BackgroundRun[int]) -> None:
        task = asyncio.create_task(wait_async(run))
        for moment in moments:
            await moment.wait()
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert cancelled(once) == signal.SIGINT
    assert cancelled(twice, patience_s=30) == -signal.SIGINT


def test_a_scope_of_anyio_cancels_once() -> None:
    """Its cancellation comes again at every `await`, which was taken for an impatient one."""
    anyio = pytest.importorskip("anyio")

    async def main(moments: Moments, run: BackgroundRun[int]) -> None:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await moments.began.wait()
                scope.cancel()

            cancelling = asyncio.create_task(cancel())
            await wait_async(run)
        await cancelling
        assert scope.cancelled_caught

    assert cancelled(main) == signal.SIGINT


def test_runs_of_one_loop_share_a_signal() -> None:
    """Each drains; it is raised when the last has ended, and one that begins meanwhile is stopped at once."""
    ended: list[str] = []

    async def main() -> None:
        began, loop = asyncio.Event(), asyncio.get_running_loop()

        async def one(name: str, run: BackgroundRun[int]) -> None:
            assert await wait_async(run) == signal.SIGTERM
            ended.append(name)

        async def late() -> None:
            await began.wait()
            press(signal.SIGTERM)()
            await one("late", BackgroundRun(until_stopped()))

        first = BackgroundRun(until_stopped())
        second = BackgroundRun(until_stopped(lambda: loop.call_soon_threadsafe(began.set)))
        await asyncio.gather(one("first", first), one("second", second), late())

    came: list[list[str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "raise_signal", lambda _number: came.append([*ended]))
        asyncio.run(main())
    assert sorted(ended) == ["first", "late", "second"]
    assert [len(names) for names in came] == [2]


ROOT = Path(__file__).parents[2]

EXIT = """
import sys, threading, asyncio
from batchchat.api.background import BackgroundRun, wait
began = threading.Event()
async def run(signals):
    began.set()
    stopped = asyncio.Event()
    with signals.listening(stopped.set):
        for _ in range(4):
            if not stopped.is_set():
                await asyncio.to_thread(lambda: None)  # an executor, as the journal has one
                await asyncio.sleep(0.02)
    print("stopped" if stopped.is_set() else "finished", flush=True)
threading.Thread(target=lambda: wait(BackgroundRun(run)), daemon=sys.argv[1] == "daemon").start()
began.wait()
"""


@pytest.mark.parametrize(("kind", "end"), [("thread", "finished\n"), ("daemon", "stopped\n")])
def test_the_interpreter_waits_for_a_run(kind: str, end: str) -> None:
    """A thread's run goes to its end, as the thread does; a daemon's is stopped, with what is in flight kept."""
    ran = subprocess.run(
        [sys.executable, "-c", EXIT, kind], check=False, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == (end, "", 0)
