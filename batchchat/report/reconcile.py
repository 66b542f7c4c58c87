"""What rows say they cost against what the endpoint says it billed: a fold, and its two forms. Pure, all in Decimal.

Only the response id of a row's last attempt is known: a row that paid for several attempts differs for that reason.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from batchchat import figures
from batchchat.report.topics import Topic, some_rows

__all__ = ["Claim", "Reconciled", "reconcile_topics"]

_LARGEST = 20
_SHOWN = 5
_ZERO = Decimal(0)


class Claim(NamedTuple):
    """A row that has a response id, with what it says it cost; None where it does not say."""

    id: str
    sample: int
    response_id: str
    cost_usd: Decimal | None
    attempts: int


@dataclass(slots=True)
class Reconciled:
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
        """Count a row that was asked for."""
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
            if len(self._largest) > _LARGEST:
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


def reconcile_topics(found: Reconciled, host: str) -> list[Topic]:
    """The comparison in words, the rows that differ most among them."""
    lines = [_sum(found, host)] if found.compared_rows else []
    if found.differing_rows:
        lines.append(f"{_differ(found.differing_rows)}, the largest first:")
        lines += [f"  {_row(claim, billed_usd)}" for claim, billed_usd in found.largest[:_SHOWN]]
        if found.differing_rows > _SHOWN:
            has = "all" if found.differing_rows <= _LARGEST else f"the first {_LARGEST}"
            lines.append(f"  and {figures.count(found.differing_rows - _SHOWN)} more; --json has {has}")
    if found.differing_retried_rows:
        lines.append(
            f"{figures.count(found.differing_retried_rows)} of them took several attempts, of which only the last can"
            " be asked for: what the others cost is in the row and not in the bill"
        )
    if found.unpriced_rows:
        lines.append(
            f"{_exact(found.unpriced_billed_usd)} was billed for {some_rows(found.unpriced_rows)} of unknown cost"
        )
    if found.unknown_rows:
        lines.append(f"{host} knows nothing of {some_rows(found.unknown_rows)}, such as {found.unknown_example}")
    if found.without_id_rows:
        lines.append(f"not asked for: {some_rows(found.without_id_rows)} without a response id")
    if not lines:
        lines.append("no row has a response id to ask for")
    return [("billed" if not number else "", line) for number, line in enumerate(lines)]


def _sum(found: Reconciled, host: str) -> str:
    difference = found.billed_usd - found.cost_usd
    told = (
        "just what the rows say" if not difference else f"the rows say {_exact(found.cost_usd)} ({_signed(difference)})"
    )
    return f"{_exact(found.billed_usd)} by {host} for {some_rows(found.compared_rows)}: {told}"


def _differ(rows: int) -> str:
    return f"{some_rows(rows)} {'differs' if rows == 1 else 'differ'}"


def _row(claim: Claim, billed_usd: Decimal) -> str:
    cost = claim.cost_usd or _ZERO
    attempts = f" · {claim.attempts} attempts" if claim.attempts > 1 else ""
    return (
        f"{figures.shorten(claim.id, 40)}  {_exact(billed_usd)} billed, {_exact(cost)} in the row"
        f" ({_signed(billed_usd - cost)}){attempts}"
    )


def _exact(usd: Decimal) -> str:
    """Every digit, four at least: a difference may be in the last."""
    plain = f"{usd.normalize():f}"
    whole, _, part = plain.partition(".")
    return f"${int(whole):,}.{part.ljust(4, '0')}"


def _signed(usd: Decimal) -> str:
    return ("+" if usd > 0 else "−") + _exact(abs(usd))  # noqa: RUF001 (a minus sign, as it is set)
