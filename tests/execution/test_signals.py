"""Signals of the process: handled while a run goes on, and as they were before when it has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from batchchat.execution.signals import HANDLED, Signals

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run(loop: str, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main)


async def kill(number: int) -> None:
    """The signal comes while the loop waits, from outside."""
    threading.Timer(0.02, os.kill, (os.getpid(), number)).start()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", HANDLED)
def test_the_first_signal_is_heard_and_the_second_is_impatient(loop: str, number: signal.Signals) -> None:
    """Each wakes the loop and calls the listener; who listens later is called at once."""
    calls: list[bool] = []

    async def main() -> None:
        signals, heard = Signals(), asyncio.Event()

        def listener() -> None:
            calls.append(signals.impatient)
            heard.set()

        with signals.handled():
            with signals.listening(listener):
                for _ in range(2):
                    heard.clear()
                    await kill(number)
                    await asyncio.wait_for(heard.wait(), 30)
            assert (signals.name, signals.received) == (number.name, number)
            with signals.listening(lambda: calls.append(True)):
                pass

    run(loop, main())
    assert calls == [False, True, True]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_handled_a_signal_before_handles_it_again(loop: str) -> None:
    """A program's own handlers, and the event loop's for Ctrl-C, which raises KeyboardInterrupt in the program."""
    own = [lambda _number, _frame: None for _ in HANDLED[1:]]
    before = [signal.signal(number, handler) for number, handler in zip(HANDLED[1:], own, strict=True)]
    try:

        async def main() -> None:
            interrupt = signal.getsignal(signal.SIGINT)
            signals = Signals()
            with signals.handled(), signals.left_alone():
                pass
            assert signal.getsignal(signal.SIGINT) is interrupt
            assert [signal.getsignal(number) for number in HANDLED[1:]] == own

        run(loop, main())
    finally:
        for number, handler in zip(HANDLED[1:], before, strict=True):
            signal.signal(number, handler)


def test_two_runs_in_one_loop_hear_each_their_own() -> None:
    """When the inner one has ended, the outer one still drains at a signal, and is not ended by it."""

    async def main() -> None:
        outer, inner, heard = Signals(), Signals(), asyncio.Event()
        with outer.handled(), outer.listening(heard.set):
            with inner.handled():
                pass
            await kill(signal.SIGTERM)
            await asyncio.wait_for(heard.wait(), 30)
        assert (outer.received, inner.received) == (signal.SIGTERM, None)

    asyncio.run(main())


def test_none_are_handled_off_the_main_thread() -> None:
    """Only the main thread may: elsewhere everything else is the same."""
    errors: list[BaseException] = []

    async def main() -> None:
        signals = Signals.here()
        with signals.handled(), signals.left_alone(), signals.listening(lambda: None):
            assert signals.received is None

    def thread() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 (whatever it is, the test must see it)
            errors.append(error)

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert errors == []


LEFT_ALONE = """
import asyncio, os, signal, uvloop
from batchchat.execution.signals import Signals

async def play():
    signals = Signals()
    with signals.handled():
        with signals.left_alone():
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(10**6): pass
    raise AssertionError

with asyncio.Runner(loop_factory=LOOP) as runner:
    runner.run(play())
"""


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "uvloop.new_event_loop"])
def test_a_signal_where_the_loop_stands_still_ends_the_process_by_its_code(loop: str) -> None:
    """128 + number, not the system's own end, which a shell reports otherwise."""
    script = LEFT_ALONE.replace("LOOP", loop)
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 143
