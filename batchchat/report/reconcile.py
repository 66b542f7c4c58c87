"""What rows say they cost against what the endpoint says it billed: a fold, and its two forms. Pure, all in Decimal.

Only the response id of a row's last attempt is known: a row that paid for several attempts differs for that reason.
"""

from __future__ import annotations

from decimal import Decimal

from batchchat.results.reconciliation import LARGEST_KEPT, Claim, Reconciliation
from batchchat.text import numbers
from batchchat.text.labelled import LabelledLine, labelled

__all__ = ["reconcile_lines"]

_SHOWN = 5
_ZERO = Decimal(0)


def reconcile_lines(found: Reconciliation, host: str) -> list[LabelledLine]:
    """The comparison in words, the rows that differ most among them."""
    lines = [_sum(found, host)] if found.compared_rows else []
    if found.differing_rows:
        lines.append(f"{_differ(found.differing_rows)}, the largest first:")
        lines += [f"  {_row(claim, billed_usd)}" for claim, billed_usd in found.largest[:_SHOWN]]
        if found.differing_rows > _SHOWN:
            has = "all" if found.differing_rows <= LARGEST_KEPT else f"the first {LARGEST_KEPT}"
            lines.append(f"  and {numbers.count(found.differing_rows - _SHOWN)} more; --json has {has}")
    if found.differing_retried_rows:
        lines.append(
            f"{numbers.count(found.differing_retried_rows)} of them took several attempts, of which only the last can"
            " be asked for: what the others cost is in the row and not in the bill"
        )
    if found.unpriced_rows:
        lines.append(
            f"{_exact(found.unpriced_billed_usd)} was billed for {numbers.rows(found.unpriced_rows)} of unknown cost"
        )
    if found.unknown_rows:
        lines.append(f"{host} knows nothing of {numbers.rows(found.unknown_rows)}, such as {found.unknown_example}")
    if found.without_id_rows:
        lines.append(f"not asked for: {numbers.rows(found.without_id_rows)} without a response id")
    if not lines:
        lines.append("no row has a response id to ask for")
    return labelled("billed", lines)


def _sum(found: Reconciliation, host: str) -> str:
    difference = found.billed_usd - found.cost_usd
    told = (
        "just what the rows say" if not difference else f"the rows say {_exact(found.cost_usd)} ({_signed(difference)})"
    )
    return f"{_exact(found.billed_usd)} by {host} for {numbers.rows(found.compared_rows)}: {told}"


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
