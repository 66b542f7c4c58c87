"""`on_finish`: the user's own command at the end of a run, with the summary as one JSON object on its stdin.

It runs after the output is published and the lock released, so that `batchchat report` works in it; in the job file's
folder, with our environment and the job's `.env`, in a process group of its own, for at most a minute. What it prints
goes to stderr: stdout is for results. Its failure is reported, and does not change how the run ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from batchchat import lossless_json
from batchchat.secret import Secret
from batchchat.text import numbers

__all__ = ["LIMIT_S", "run_command"]

LIMIT_S = 60.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR = 2


class _Interrupted(Exception):  # noqa: N818 (a message from a signal handler, not an error)
    """A signal came while the command ran."""


def run_command(
    command: Secret | tuple[Secret, ...],
    summary: Mapping[str, Any],
    folder: Path,
    redact: Callable[[bytes], bytes],
    limit_s: float | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> str | None:
    """Run `command` to its end; why it failed, without repeating it, or None. `redact` removes secrets.

    The command gets `environ`, by default that of this process.
    """
    limit_s = LIMIT_S if limit_s is None else limit_s
    words = ["/bin/sh", "-c", command.reveal()] if isinstance(command, Secret) else [word.reveal() for word in command]
    summary_line = redact(lossless_json.dumps(dict(summary))) + b"\n"
    with _Signals() as signals:
        try:
            process = subprocess.Popen(  # noqa: S603 (the user's own command)
                words, stdin=subprocess.PIPE, stdout=_STDERR, cwd=folder, env=environ, start_new_session=True
            )
        except (OSError, ValueError) as error:
            return f"it can't be started: {getattr(error, 'strerror', None) or error}"
        try:
            signals.interrupt()
            process.communicate(summary_line, timeout=limit_s)
        except subprocess.TimeoutExpired:
            signals.wait()
            _kill(process)
            return f"it was killed after {numbers.duration(limit_s)}"
        except _Interrupted:
            signals.wait()
            _kill(process)
            return f"it was killed at a {signals.came}"
    if process.returncode < 0:
        return f"it ended by {signal.Signals(-process.returncode).name}"
    return f"its exit code is {process.returncode}" if process.returncode else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` and all it has started, and wait for it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    process.wait()


class _Signals:
    """Signals that would end a run end its command, which must not outlive us; the run's exit code is kept.

    A signal raises `_Interrupted` between `interrupt` and `wait`, never while a process is started or killed; one that
    came earlier is raised by `interrupt`. Signals that were ignored before stay ignored.
    """

    def __init__(self) -> None:
        self.came: str | None = None
        self._interrupts = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may handle signals
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
        for number in self._before:
            signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def interrupt(self) -> None:
        """From now on a signal raises `_Interrupted`."""
        self._interrupts = True
        if self.came is not None:
            raise _Interrupted

    def wait(self) -> None:
        """From now on a signal is only noted."""
        self._interrupts = False

    def _heard(self, number: int, _frame: object) -> None:
        self.came = self.came or signal.Signals(number).name
        if self._interrupts:
            raise _Interrupted
