"""What earlier runs did for a row that they did not finish: its attempts that were or may have been billed.

An accepted request that was not its row's last has a reply, which the next request needs and nobody pays for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from batchchat.core.attempt import Failure

__all__ = ["ACCEPTED", "CANCELLED", "NO_HISTORY", "SENT", "AcceptedReply", "RowHistory"]

ACCEPTED, CANCELLED, SENT = "accepted", "cut", "sent"
"""Why a `step` record was written, where no failure says it: an accepted request that is not its row's last, one that
we cancelled in flight, and a note that a row is about to be sent again."""


class AcceptedReply(NamedTuple):
    """The reply and the usage of an accepted request, by field, as the journal keeps them; None is not reported.

    `at` is when it was recorded, in seconds since the epoch, None where the journal does not say it.
    """

    reply: Mapping[str, Any]
    usage: Mapping[str, int] | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class RowHistory:
    """Failed attempts since the row's last record, `billed` by `why` of their steps.

    `last` is the latest failure among them, where one told it. `failed`: the row has a record, which says that it
    failed, and it is sent because that was asked for. `accepted` has the replies to requests that were accepted since
    that record, by the number of the request.
    """

    billed: Mapping[str, int] = field(default_factory=dict)
    last: Failure | None = None
    failed: bool = False
    accepted: Mapping[int, AcceptedReply] = field(default_factory=dict)


NO_HISTORY = RowHistory()
