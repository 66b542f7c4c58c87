"""Signals between two handlers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHANGING = """
import asyncio, os, signal
from batchchat.run.signals import Signals

class Interrupted(Signals):
    def _listen(self, numbers):
        super()._listen(numbers)
        if armed:
            os.kill(os.getpid(), signal.SIGTERM)

async def play():
    global armed
    signals = Interrupted()
    with signals.handled():
        armed = True
        with signals.left_alone():
            pass

armed = False
asyncio.run(play())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_signal_between_two_handlers(loop: str) -> None:
    """One that comes in the moment between ours and ours ends the process by its code, not by the system's handler."""
    script = CHANGING.replace("asyncio.run(", "asyncio.Runner(loop_factory=uvloop.new_event_loop).run(")
    script = f"import uvloop\n{script}" if loop == "uvloop" else CHANGING
    done = subprocess.run([sys.executable, "-c", script], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 143
