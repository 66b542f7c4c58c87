"""What a command prints: results on stdout, everything else on stderr, in colour where a person wants it."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from io import TextIOWrapper

import click

from batchchat.errors import MachineError
from batchchat.text.escape import escaped

__all__ = ["prepare_streams", "put", "say", "say_error", "shown", "style"]


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


_MARK = os.urandom(8).hex()
"""Around what `style` colours: no text of others can know it, so that all of theirs is escaped when it is printed."""
_STYLED = re.compile(f"{_MARK}<([a-z]+)>(.*?){_MARK}", re.DOTALL)


def style(text: str, colour: str) -> str:
    """`text`, which is printed in `colour` unless NO_COLOR is set, TERM is dumb, or there is no terminal."""
    return f"{_MARK}<{colour}>{text}{_MARK}"


def shown(text: str) -> str:
    """`text` as it is printed: what a terminal would act upon is escaped, but the colours of `style`."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return _STYLED.sub(
        lambda styled: styled[2] if plain else click.style(styled[2], fg=styled[1]),
        escaped(text),
    )


def put(text: str, *, before: str = "") -> bool:
    """Print a result on stdout, after control sequences `before` it.

    False where its reader has gone, which is no error. A full disk is a `MachineError`.
    """
    try:
        click.echo(before + shown(text))
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
        click.echo(shown(text), err=True)


def say_error(text: str) -> None:
    """Print `error: …` on stderr."""
    say(f"{style('error:', 'red')} {text}")
