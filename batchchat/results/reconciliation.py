"""What rows say they cost against what the endpoint says it billed: a fold. Pure, all in Decimal.

Only the response id of a row"s last attempt is known: a row that paid for several attempts differs for that reason.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

__all__ = ["LARGEST_KEPT", "Claim", "Reconciliation"]

LARGEST_KEPT = 20


_ZERO = Decimal(0)


class Claim(NamedTuple):
    """A row that has a response id, with what it says it cost; None where it does not say."""

    id: str
    sample: int
    response_id: str
    cost_usd: Decimal | None
    attempts: int


@dataclass(slots=True)
class Reconciliation:
    """The sums of both are over rows of which both are known. `unknown_rows`: the endpoint knows nothing of them."""

    without_id_rows: int = 0
    compared_rows: int = 0
    cost_usd: Decimal = _ZERO
    billed_usd: Decimal = _ZERO
    differing_rows: int = 0
    differing_retried_rows: int = 0
    unknown_rows: int = 0
    unknown_example: str | None = None
    unpriced_rows: int = 0
    unpriced_billed_usd: Decimal = _ZERO
    _largest: list[tuple[Decimal, int, Claim, Decimal]] = field(default_factory=list)

    def add(self, claim: Claim, billed_usd: Decimal | None) -> None:
        """Count a row whose response id was sent to the endpoint."""
        if billed_usd is None:
            self.unknown_rows += 1
            self.unknown_example = self.unknown_example or claim.id
            return
        if claim.cost_usd is None:
            self.unpriced_rows += 1
            self.unpriced_billed_usd += billed_usd
            return
        self.compared_rows += 1
        self.cost_usd += claim.cost_usd
        self.billed_usd += billed_usd
        difference = billed_usd - claim.cost_usd
        if difference:
            self.differing_rows += 1
            self.differing_retried_rows += claim.attempts > 1
            # Of equal ones the first stays; the number keeps claims from being compared.
            heapq.heappush(self._largest, (abs(difference), -self.differing_rows, claim, billed_usd))
            if len(self._largest) > LARGEST_KEPT:
                heapq.heappop(self._largest)

    @property
    def largest(self) -> list[tuple[Claim, Decimal]]:
        """The rows that differ most, with what was billed."""
        return [(claim, billed_usd) for _, _, claim, billed_usd in sorted(self._largest, reverse=True)]

    def json(self) -> dict[str, Any]:
        """As `report --json` has it; a difference is what was billed above what the row says."""
        return {
            "compared_rows": self.compared_rows,
            "cost_usd": float(self.cost_usd),
            "billed_usd": float(self.billed_usd),
            "difference_usd": float(self.billed_usd - self.cost_usd),
            "differing_rows": self.differing_rows,
            "differing_retried_rows": self.differing_retried_rows,
            "unknown_rows": self.unknown_rows,
            "unknown_example_id": self.unknown_example,
            "without_cost": {"rows": self.unpriced_rows, "billed_usd": float(self.unpriced_billed_usd)},
            "without_response_id_rows": self.without_id_rows,
            "largest": [
                {
                    "id": claim.id,
                    "sample": claim.sample,
                    "response_id": claim.response_id,
                    "attempts": claim.attempts,
                    "cost_usd": float(claim.cost_usd or _ZERO),
                    "billed_usd": float(billed_usd),
                    "difference_usd": float(billed_usd - (claim.cost_usd or _ZERO)),
                }
                for claim, billed_usd in self.largest
            ],
        }
