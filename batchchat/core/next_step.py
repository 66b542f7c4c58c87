"""What to do after a run that stopped."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AS_BEFORE", "NextStep"]


@dataclass(frozen=True, slots=True)
class NextStep:
    """The changes to the command that are needed to continue.

    `options` are words of the command line that are added, or replace the same option: `("--max-cost", "12")`. With
    `retry_failed` the rows that failed are sent again.
    """

    options: tuple[str, ...] = ()
    retry_failed: bool = False


AS_BEFORE = NextStep()
"""No change: the same command continues."""
