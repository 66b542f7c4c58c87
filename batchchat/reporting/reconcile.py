"""The comparison of what rows cost with what the endpoint billed, as labelled lines. Pure, all in Decimal."""

from __future__ import annotations

from decimal import Decimal

from batchchat.results.reconciliation import LARGEST_KEPT, Claim, Reconciliation
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled

__all__ = ["reconcile_lines"]

_SHOWN = 5
_ZERO = Decimal(0)


def reconcile_lines(bill: Reconciliation, host: str) -> list[LabelledLine]:
    """The sums of both, the rows that differ most, and what could not be compared; `host` is the endpoint's name."""
    lines = [_sum(bill, host)] if bill.compared_rows else []
    if bill.differing_rows:
        lines.append(f"{_differ(bill.differing_rows)}, the largest first:")
        lines += [f"  {_row(claim, billed_usd)}" for claim, billed_usd in bill.largest[:_SHOWN]]
        if bill.differing_rows > _SHOWN:
            has = "all" if bill.differing_rows <= LARGEST_KEPT else f"the first {LARGEST_KEPT}"
            lines.append(f"  and {numbers.count(bill.differing_rows - _SHOWN)} more; --json has {has}")
    if bill.differing_retried_rows:
        lines.append(
            f"{numbers.count(bill.differing_retried_rows)} of them took several attempts, of which only the last can"
            " be asked for: what the others cost is in the row and not in the bill"
        )
    if bill.unpriced_rows:
        lines.append(
            f"{_exact(bill.unpriced_billed_usd)} was billed for {numbers.rows(bill.unpriced_rows)} of unknown cost"
        )
    if bill.unknown_rows:
        lines.append(f"{host} knows nothing of {numbers.rows(bill.unknown_rows)}, such as {bill.unknown_example}")
    if bill.without_id_rows:
        lines.append(f"not asked for: {numbers.rows(bill.without_id_rows)} without a response id")
    if not lines:
        lines.append("no row has a response id to ask for")
    return labelled("billed", lines)


def _sum(bill: Reconciliation, host: str) -> str:
    difference = bill.billed_usd - bill.cost_usd
    comparison = (
        "just what the rows say" if not difference else f"the rows say {_exact(bill.cost_usd)} ({_signed(difference)})"
    )
    return f"{_exact(bill.billed_usd)} by {host} for {numbers.rows(bill.compared_rows)}: {comparison}"


def _differ(rows: int) -> str:
    return f"{numbers.rows(rows)} {'differs' if rows == 1 else 'differ'}"


def _row(claim: Claim, billed_usd: Decimal) -> str:
    cost = claim.cost_usd or _ZERO
    attempts = f" · {claim.attempts} attempts" if claim.attempts > 1 else ""
    return (
        f"{numbers.shorten(claim.id, 40)}  {_exact(billed_usd)} billed, {_exact(cost)} in the row"
        f" ({_signed(billed_usd - cost)}){attempts}"
    )


def _exact(usd: Decimal) -> str:
    """Every digit, four at least: a difference may be in the last."""
    plain = f"{usd.normalize():f}"
    whole, _, part = plain.partition(".")
    return f"${int(whole):,}.{part.ljust(4, '0')}"


def _signed(usd: Decimal) -> str:
    return ("+" if usd > 0 else "−") + _exact(abs(usd))  # noqa: RUF001 (a minus sign, as it is set)
