"""The figures at the end of a run: of the whole job over all its runs, and of this run alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from batchchat.core.row_counts import RowCounts

__all__ = ["RunFigures", "ThisRun", "running_s"]

_NO_USD = Decimal(0)


def running_s(sessions: Iterable[Sequence[float]]) -> float:
    """The time in which any of `sessions` ran, each with its beginning and its end; pauses between them are not in it.

    Sessions of shards run side by side; those of one run follow one another.
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted((start, end) for start, end in sessions):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


class ThisRun(NamedTuple):
    """What this run alone did: `rows` it finished, what is known to be paid for it, and its time."""

    rows: int = 0
    cost_usd: Decimal | None = None
    elapsed_s: float = 0.0

    def is_a_part_of(self, rows: RowCounts) -> bool:
        """Whether this run finished some of the job's `rows`, and other runs the others."""
        return 0 < self.rows < rows.answered + rows.failed


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The figures of a job at the end of a run.

    `outdated` rows have a record and were to be sent again. `paid_usd` is all that is known to be paid for the job, and
    never less than at the end of an earlier run; `superseded_usd` of it was paid for answers that were replaced or are
    no longer in the input. `possibly_billed` attempts may have cost up to `possibly_billed_usd` more, None where that
    has no bound.
    """

    rows: RowCounts = field(default_factory=RowCounts)
    outdated: int = 0
    estimated_total: int | None = None
    """About how many rows the input has, where its end was not seen."""
    paid_usd: Decimal | None = None
    superseded_usd: Decimal = _NO_USD
    unknown_cost_rows: int = 0
    possibly_billed: int = 0
    possibly_billed_usd: Decimal | None = None
    broke_off: int = 0
    broke_off_usd: Decimal | None = None
    """Of the attempts that may have been billed, those at finished rows."""
    tokens: Mapping[str, int | None] = field(default_factory=dict)
    cache_saved_usd: Decimal | None = None
    """How much less the cached ones of them cost at their known price."""
    failures: Mapping[str, int] = field(default_factory=dict)
    replies: Mapping[str, int] = field(default_factory=dict)
    of_mock: bool = False
    """Whether the embedded mock answered: then nothing was paid, whatever the figures."""
    running_s: float = 0.0
    """The time of all runs, without the pauses between them."""
    this_run: ThisRun = field(default_factory=ThisRun)
