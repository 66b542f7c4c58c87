"""One measured process: its time, CPU and peak memory as the kernel counts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

CLIENT_CORE, SERVER_CORE = 0, 1

COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""The environment of what is measured: the first start leaves its bytecode, as an installation does."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A process from start to end, with the processes it waited for."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    started_at: float
    """As time.time() gives it."""


def python(
    arguments: list[str], *, until: Callable[[], bool] | None = None, core: int | None = CLIENT_CORE
) -> Measured:
    """Run Python with `arguments` to its end, or until `until()` is true: then it is killed.

    It has the client's core to itself, or with a `core` of None all there are.
    """
    started_at, start = time.time(), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], env=COMPILED, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        if core is not None:
            pin(process.pid, core)
        while until is not None and not until() and _runs(process):
            time.sleep(0.02)
        killed = until is not None and _runs(process)
        if killed:
            process.send_signal(signal.SIGKILL)
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
    if process.returncode and not killed:
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}\n{errors.decode()}")
    wall_s = time.perf_counter() - start
    return Measured(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, started_at)


def _runs(process: subprocess.Popen[bytes]) -> bool:
    """Whether it still runs; its end is not collected, so that wait4 can."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several, so that client and server do not take turns."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})
