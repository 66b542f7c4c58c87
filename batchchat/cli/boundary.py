"""The edge of the program: errors become sentences and exit codes, and a defect of ours says where its traceback is."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path

import click

from batchchat import __version__
from batchchat.errors import EXIT_DEFECT, BatchchatError, JobError, MachineError
from batchchat.secret import Redactor, Secret

__all__ = ["ErrorBoundary", "guarded", "put", "ready_streams", "say", "say_error", "style"]


_SIGNALLED = 128
_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASS", re.IGNORECASE)


class ErrorBoundary:
    """What the defect's message needs to know: where to write, and what to blank."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        # Before a job is read, any variable that is named like a secret may be one.
        self.blank: Callable[[str], str] = Redactor(
            Secret(value) for name, value in os.environ.items() if _SECRET_NAME.search(name)
        ).redact

    def report_defect(self) -> None:
        """Write the traceback of the current exception into run.log, or a file of its own, or else to stderr."""
        text = self.blank(f"batchchat {__version__}\n{traceback.format_exc()}")
        kept = " The journal is intact: every row told as done is kept." if self.folder is not None else ""
        for keep in (self._into_log, _into_file):
            with suppress(OSError):
                if (path := keep(text)) is not None:
                    say_error(f"this is a defect of batchchat; its traceback is in {path}.{kept}")
                    return
        say_error(f"this is a defect of batchchat; its traceback:\n{text}{kept}")

    def _into_log(self, text: str) -> Path | None:
        if self.folder is None:
            return None
        path = self.folder / "run.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(text)
        return path


def _into_file(text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="batchchat-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        log.write(text)
    return Path(name)


def ready_streams() -> None:
    """Make the standard streams usable: cron and daemons close them, and replies hold what no locale can write."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def style(text: str, colour: str) -> str:
    """`text` in a colour, where the person wants any; click takes it out again where there is no terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, fg=colour)


def say(text: str) -> None:
    """A line on stderr; nobody needs to read it."""
    with suppress(OSError):
        click.echo(text, err=True)


def say_error(text: str) -> None:
    """`error: …` on stderr."""
    say(f"{style('error:', 'red')} {text}")


@contextmanager
def guarded() -> Iterator[ErrorBoundary]:
    """Everything a command does stands inside."""
    boundary = ErrorBoundary()
    try:
        yield boundary
    except JobError as error:
        for fault in error.faults:
            say_error(fault)
        sys.exit(error.exit_code)
    except BatchchatError as error:
        say_error(str(error))
        sys.exit(error.exit_code)
    except (click.exceptions.Exit, click.ClickException, click.Abort):
        raise
    except KeyboardInterrupt:
        sys.exit(_SIGNALLED + signal.SIGINT)
    except Exception:  # noqa: BLE001 (the edge)
        boundary.report_defect()
        sys.exit(EXIT_DEFECT)


def put(text: str) -> bool:
    """A result on stdout; whether anybody reads there. A reader that has gone is no error; a full disk is."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except OSError as error:
        # What is still buffered would be tried again, and complained of, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise MachineError(f"stdout can't be written: {error.strerror}.") from error
        return False
    return True
