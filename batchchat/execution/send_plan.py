"""Which rows a process sends, and by which rules: all that a run sends, or the shard of one of several workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from batchchat.core.conversation import BadRow
from batchchat.core.shard import Shard, UnansweredRows
from batchchat.execution.tasks import ResumeRules, RowTask, Scripts, tasks
from batchchat.pricing.rates import Rates
from batchchat.sources import Source
from batchchat.store.ledger import Ledger

__all__ = ["SendPlan"]


class SendPlan(NamedTuple):
    """The rows of `source` that `rules` have sent, or those of its `shard`; `ledger` has what came of them before.

    At most `limit` are sent (None: all); when these were taken `more` gives how many more may be. `counted` is the
    number of rows of the input, where it was read already; `outdated` rows have a record and are sent again, and
    `undecided` ones keep their answers. Rows that are not `unanswered` are passed over, where that is known. `stop_at`
    is when the run is to end, in seconds since the epoch.
    """

    source: Source
    ledger: Ledger
    rules: ResumeRules
    rates: Rates
    limit: int | None = None
    more: Callable[[], Awaitable[int]] | None = None
    counted: int | None = None
    outdated: int = 0
    undecided: int = 0
    stop_at: float | None = None
    shard: Shard | None = None
    unanswered: UnansweredRows | None = None

    def tasks(self, scripts: Scripts) -> Iterator[RowTask | BadRow]:
        """The rows as tasks, from the first on: `scripts` makes the scripts."""
        return tasks(self.source, scripts, self.ledger.index, self.rules, self.shard, unanswered=self.unanswered)
