"""`--resend WHAT`: which finished rows are sent again."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from batchchat.execution.run_command import CHANGED, RESEND

if TYPE_CHECKING:
    from batchchat.execution.resend import Resend

__all__ = ["to_resend"]


def to_resend(words: Collection[str], *, keep_changed: bool) -> Resend:
    """What `words` ask for. Raises `UsageError` for what can't be sent again, or is to be kept all the same."""
    from batchchat.execution.resend_words import check_resend, resend_of

    if keep_changed and CHANGED in words:
        raise click.UsageError("--resend changed and --keep-changed contradict each other.")
    check_resend(words, RESEND)
    return resend_of(words, RESEND)
