"""What to do after a run that stopped."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AS_BEFORE", "NextStep"]


@dataclass(frozen=True, slots=True)
class NextStep:
    """What the same command needs in order to go on.

    `options` are words of the command line that are added, or replace the same option: `("--max-cost", "12")`. With
    `retry_failed` the rows that failed are sent again.
    """

    options: tuple[str, ...] = ()
    retry_failed: bool = False


AS_BEFORE = NextStep()
"""The same command goes on as it is."""
