"""A question about money: asked on a terminal, answered beforehand by `--yes`, and refused where nobody can answer."""

from __future__ import annotations

import click

from batchchat.cli.runner import at_a_terminal
from batchchat.errors import UsageError

__all__ = ["consent"]


def consent(said: str, question: str, *, yes: bool, nobody: str) -> None:
    """Return where the answer is yes. `said` is what is asked about, `nobody` the way out off a terminal.

    Raises `UsageError`: nothing was sent.
    """
    if yes:
        return
    if not at_a_terminal():
        raise UsageError(f"{said} {nobody}")
    try:
        agreed = click.confirm(f"{said}\n{question}", default=False, err=True)
    except click.Abort:  # Ctrl-C, or no more input
        raise KeyboardInterrupt from None
    if not agreed:
        raise UsageError("stopped at the question; nothing was sent.")
