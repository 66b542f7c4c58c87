"""The confirmation of a cost: by a question on a terminal, or by `--yes`; without either it is refused."""

from __future__ import annotations

import click

from batchchat.cli.runner import at_a_terminal
from batchchat.errors import UsageError
from batchchat.text.escape import escaped

__all__ = ["confirm"]


def confirm(cost: str, question: str, *, yes: bool, without_terminal: str) -> None:
    """Return if the user agrees to `cost`, a sentence, by answering `question` or beforehand by `yes`.

    Raises `UsageError` where the answer is no or where there is no terminal; `without_terminal` says how to agree then.
    """
    if yes:
        return
    if not at_a_terminal():
        raise UsageError(f"{cost} {without_terminal}")
    try:
        agreed = click.confirm(f"{escaped(cost)}\n{question}", default=False, err=True)
    except click.Abort:  # Ctrl-C, or no more input
        raise KeyboardInterrupt from None
    if not agreed:
        raise UsageError("stopped at the question; nothing was sent.")
