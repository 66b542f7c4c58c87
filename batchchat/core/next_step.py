"""What to do after a run that stopped."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["AS_BEFORE", "NextStep"]


class NextStep(NamedTuple):
    """The changes to the command that are needed to continue.

    `options` are words of the command line that are added, or replace the same option: `("--max-cost", "12")`. With
    `retry_failed` the rows that failed are sent again.
    """

    options: tuple[str, ...] = ()
    retry_failed: bool = False

    def with_limit(self, rows: int) -> NextStep:
        """The same step for the `rows` that are left of a run that was to send a limited number."""
        return self._replace(options=(*self.options, "--limit", str(rows))) if rows > 0 else self


AS_BEFORE = NextStep()
"""No change: the same command continues."""
