"""What a command prints: results on stdout, everything else on stderr, in colour where a person wants it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

import click

from batchchat.errors import MachineError

__all__ = ["prepare_streams", "put", "say", "say_error", "style"]


def prepare_streams() -> None:
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
    """`text` in `colour` unless NO_COLOR is set or TERM is dumb; click removes it where there is no terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, fg=colour)


def put(text: str) -> bool:
    """Print a result on stdout; False where its reader has gone, which is no error. A full disk is a `MachineError`."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except OSError as error:
        # Python would write the rest of the buffer again when it ends, and print a warning.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise MachineError(f"stdout can't be written: {error.strerror}.") from error
        return False
    return True


def say(text: str) -> None:
    """Print a line on stderr; a stderr that can't be written is ignored."""
    with suppress(OSError):
        click.echo(text, err=True)


def say_error(text: str) -> None:
    """Print `error: …` on stderr."""
    say(f"{style('error:', 'red')} {text}")
