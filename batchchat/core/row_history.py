"""What earlier runs did for a row that they did not finish: its attempts that were or may have been billed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchchat.core.attempt import Failure

__all__ = ["ACCEPTED", "CANCELLED", "NO_HISTORY", "SENT", "RowHistory"]

ACCEPTED, CANCELLED, SENT = "accepted", "cut", "sent"
"""Why a `step` record was written, where no failure says it: an accepted request that is not its row's last, one that
we cancelled in flight, and a note that a row is about to be sent again."""


@dataclass(frozen=True, slots=True)
class RowHistory:
    """Failed attempts since the row's last record, `billed` by `why` of their steps.

    `last` is the latest failure among them, where one told it. `failed`: the row has a record, which says that it
    failed, and it is sent because that was asked for.
    """

    billed: Mapping[str, int] = field(default_factory=dict)
    last: Failure | None = None
    failed: bool = False


NO_HISTORY = RowHistory()
