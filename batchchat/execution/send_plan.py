"""Which rows a run sends, and by which terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from batchchat.core.conversation import BadRow
from batchchat.execution.tasks import ResumeRules, RowTask, Scripts, tasks
from batchchat.pricing.rates import Rates
from batchchat.sources import Source
from batchchat.store.ledger import Ledger

if TYPE_CHECKING:
    from batchchat.core.unanswered_rows import UnansweredRows

__all__ = ["SendPlan", "SendTerms"]


class SendTerms(NamedTuple):
    """How a process sends rows, whoever reads them: at `rates`, and `ledger` takes in what comes of them.

    At most `limit` are sent (None: all). `outdated` rows have a record and are sent again, and `undecided` ones keep
    their answers. `stop_at` is when the run is to end, in seconds since the epoch.
    """

    ledger: Ledger
    rates: Rates
    limit: int | None = None
    outdated: int = 0
    undecided: int = 0
    stop_at: float | None = None


class SendPlan(NamedTuple):
    """The rows of `source` that `rules` have sent, by `terms`, whose ledger has what came of them before.

    `counted` is the number of rows of the input, where it was read already. Rows that are not `unanswered` are passed
    over, where that is known.
    """

    source: Source
    rules: ResumeRules
    terms: SendTerms
    counted: int | None = None
    unanswered: UnansweredRows | None = None

    def tasks(self, scripts: Scripts) -> Iterator[RowTask | BadRow]:
        """The rows as tasks, from the first on: `scripts` makes the scripts."""
        return tasks(self.source, scripts, self.terms.ledger.index, self.rules, unanswered=self.unanswered)
