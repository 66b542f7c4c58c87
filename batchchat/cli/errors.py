"""Errors at the edge of the program: they become sentences and exit codes; a defect's traceback is kept in a file."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from batchchat.cli.output import say_error
from batchchat.errors import EXIT_DEFECT, BatchchatError, JobError, error_of_machine
from batchchat.secret import Redactor, Secret
from batchchat.version import __version__

__all__ = ["ErrorBoundary", "guarded"]


_SIGNALLED = 128
_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASS", re.IGNORECASE)


class ErrorBoundary:
    """Where a defect's traceback is written, and which secrets are redacted in it.

    `folder` is the run folder once it is known; `redact` replaces secrets in a text. `on_error` is told the exit code
    and the sentences of each error that ends the command.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.on_error: Callable[[int, str], None] = lambda _code, _reason: None
        # Before a job is read, any variable whose name looks like a secret's may hold one.
        self.redact: Callable[[str], str] = Redactor(
            Secret(value) for name, value in os.environ.items() if _SECRET_NAME.search(name)
        ).redact

    def report_defect(self) -> None:
        """Write the current exception's traceback to run.log, else to a file of its own, else to stderr."""
        text = self.redact(f"batchchat {__version__}\n{traceback.format_exc()}")
        journal_note = " The journal is intact: every row reported as done is kept." if self.folder is not None else ""
        for write in (self._write_to_log, _write_to_new_file):
            with suppress(OSError):
                if (path := write(text)) is not None:
                    say_error(f"this is a defect of batchchat; its traceback is in {path}.{journal_note}")
                    return
        say_error(f"this is a defect of batchchat; its traceback:\n{text}{journal_note}")

    def _write_to_log(self, text: str) -> Path | None:
        if self.folder is None:
            return None
        path = self.folder / "run.log"
        with path.open("a", encoding="utf-8") as log:
            log.write(text)
        return path


def _write_to_new_file(text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="batchchat-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        log.write(text)
    return Path(name)


@contextmanager
def guarded() -> Iterator[ErrorBoundary]:
    """Run a command's body; each error it raises is printed and becomes the exit code that its class has."""
    boundary = ErrorBoundary()
    try:
        yield boundary
    except JobError as error:
        for fault in error.faults:
            say_error(fault)
        boundary.on_error(error.exit_code, "\n".join(error.faults))
        sys.exit(error.exit_code)
    except BatchchatError as error:
        say_error(str(error))
        boundary.on_error(error.exit_code, str(error))
        sys.exit(error.exit_code)
    except (click.exceptions.Exit, click.ClickException, click.Abort):
        raise
    except KeyboardInterrupt:
        sys.exit(_SIGNALLED + signal.SIGINT)
    except Exception as error:  # noqa: BLE001 (the edge)
        if (of_machine := error_of_machine(error, sent=boundary.folder is not None)) is not None:
            say_error(boundary.redact(str(of_machine)))
            boundary.on_error(of_machine.exit_code, boundary.redact(str(of_machine)))
            sys.exit(of_machine.exit_code)
        boundary.report_defect()
        sys.exit(EXIT_DEFECT)
