"""The state of a ledger as JSON values and arrays, and back: what a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from batchchat.core.attempt import Spend, Usage
from batchchat.core.conversation import Key
from batchchat.core.totals import Totals
from batchchat.store.at_risk import AtRisk
from batchchat.store.index import Index
from batchchat.store.ledger import Ledger, PaidElsewhere
from batchchat.store.passthrough_columns import PassthroughColumns
from batchchat.store.unfinished_rows import UnfinishedRows

__all__ = ["restore", "state_of_ledger"]

_USD = frozenset({"cost_usd", "possibly_billed_usd", "unreported_usd"})
_USAGE = frozenset({"usage", "usage_before"})


def state_of_ledger(ledger: Ledger) -> dict[str, Any]:
    """All of `ledger` but the arrays of its index, as JSON values; money is exact decimal text."""
    return {
        "totals": ledger.totals.state(),
        "superseded": _packed_paid(ledger.superseded),
        "pending": [[list(key), _packed_spend(spend)] for key, spend in ledger.pending_spend.items()],
        "unfinished": ledger.unfinished.state(),
        "runs": ledger.runs,
        "sessions": ledger.sessions,
        "models": [[endpoint, sorted(models)] for endpoint, models in ledger.answered_models.items()],
        "at_risk": ledger.at_risk.state(),
        "price_ratios": [[price, rows, str(ratio)] for price, (rows, ratio) in ledger.price_ratios.items()],
        "passthrough": ledger.passthrough.state(),
    }


def restore(ledger: Ledger, state: Mapping[str, Any], arrays: Sequence[memoryview[int]]) -> None:
    """Make an empty `ledger` what it was when `state_of_ledger` gave `state`, and its index the `arrays`.

    Raises `ValueError`, `KeyError` or `TypeError` where they are of another program; the ledger is then as it was.
    """
    index, totals, at_risk = (
        Index.of_arrays(arrays),
        Totals.of_state(state["totals"]),
        AtRisk.of_state(state["at_risk"]),
    )
    runs = [(offset, run) for offset, run in state["runs"]]
    passthrough = PassthroughColumns.of_state(state["passthrough"], runs)
    unfinished, superseded = UnfinishedRows.of_state(state["unfinished"]), _unpacked_paid(state["superseded"])
    pending = {Key(*key): _unpacked_spend(spend) for key, spend in state["pending"]}
    sessions = [(began, ended) for began, ended in state["sessions"]]
    models = {endpoint: set(names) for endpoint, names in state["models"]}
    ratios = {price: (rows, Decimal(ratio)) for price, rows, ratio in state["price_ratios"]}
    ledger.index, ledger.totals, ledger.at_risk, ledger.passthrough = index, totals, at_risk, passthrough
    ledger.unfinished, ledger.superseded, ledger.pending_spend = unfinished, superseded, pending
    ledger.runs, ledger.sessions, ledger.answered_models, ledger.price_ratios = runs, sessions, models, ratios


def _packed_paid(paid: PaidElsewhere) -> list[Any]:
    return [paid.rows, str(paid.cost_usd), str(paid.uncertain_usd)]


def _unpacked_paid(packed: Sequence[Any]) -> PaidElsewhere:
    rows, cost_usd, uncertain_usd = packed
    return PaidElsewhere(rows, Decimal(cost_usd), Decimal(uncertain_usd))


def _packed_spend(spend: Spend) -> dict[str, Any]:
    packed: dict[str, Any] = spend._asdict()
    for name in _USD:
        packed[name] = None if packed[name] is None else str(packed[name])
    for name in _USAGE:
        packed[name] = None if packed[name] is None else list(packed[name])
    return packed


def _unpacked_spend(packed: Mapping[str, Any]) -> Spend:
    values = dict(packed)
    for name in _USD:
        values[name] = None if values[name] is None else Decimal(values[name])
    for name in _USAGE:
        values[name] = None if values[name] is None else Usage(*values[name])
    return Spend(**values)
