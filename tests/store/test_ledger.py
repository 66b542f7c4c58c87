"""What the journal adds up to, against a recomputation that is as plain as can be."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.attempt import NO_SPEND, Spend
from batchchat.core.conversation import Key
from batchchat.core.record import RowRecord, key_of, spend_of, uncertain_fields
from batchchat.core.totals import Totals
from batchchat.policy.budget import Budget, PriceRatio
from batchchat.store.ledger import Ledger, PaidElsewhere
from batchchat.store.segments import journal_offset, scan
from tests.store.given import answered, bare, failed, invalid, run_record, write_segment

_ids = st.sampled_from(["a", "b", "c"])
_costs = st.none() | st.integers(0, 10**12).map(lambda n: n / 10**12)
_attempts = st.integers(1, 3)


def step(id_: str, **fields: Any) -> dict[str, Any]:
    key = {"kind": "step", "id": id_, "variant": "", "sample": 0}
    return key | {"attempts": 1, "possibly_billed": 0, "cost_usd": None} | fields


_records = st.one_of(
    st.builds(answered, _ids, cost_usd=_costs, attempts=_attempts),
    st.builds(failed, _ids, cost_usd=_costs, attempts=_attempts),
    st.builds(invalid, _ids),
    st.builds(step, _ids, cost_usd=_costs, possibly_billed=st.integers(0, 1)),
    st.builds(lambda n: {"kind": "hold", "requests": n, "usd": None}, st.integers(0, 9)),
    st.just(run_record()),
)


class Naive:
    """The journal read with lists and dictionaries."""

    def __init__(self, journal: list[Any]) -> None:
        rows = [record for record in journal if record["kind"] == "row"]
        self.last: dict[Key, RowRecord] = {key_of(row): row for row in rows}
        self.superseded: list[RowRecord] = []
        self.pending: dict[Key, Spend] = {}
        self.at_risk = hold = 0
        seen: dict[Key, RowRecord] = {}
        for record in journal:
            if record["kind"] == "hold":
                hold = record["requests"]
            elif record["kind"] == "run":
                self.at_risk, hold = self.at_risk + hold, 0
            elif record["kind"] == "step":
                key = key_of(record)
                self.pending[key] = self.pending.get(key, NO_SPEND) + spend_of(record)
            else:
                key, old = key_of(record), seen.get(key_of(record))
                if old and (old["status"] == "answered" or (old["status"] == "failed" and _bad(record))):
                    self.superseded.append(old)
                if not _bad(record):
                    self.pending.pop(key, None)
                seen[key] = record
        self.at_risk += hold

    def totals(self) -> Totals:
        totals = Totals()
        for row in self.last.values():
            totals.add(row)
        return totals

    def spend_before(self, key: Key) -> Spend:
        row = self.last.get(key)
        spend = spend_of(row) if row and row["status"] == "failed" else NO_SPEND
        return spend + self.pending.get(key, NO_SPEND)


def _bad(record: RowRecord) -> bool:
    return record["status"] == "invalid"


def paid(rows: list[RowRecord]) -> PaidElsewhere:
    costs = [Decimal(repr(row["cost_usd"])) for row in rows if "cost_usd" in row]
    return PaidElsewhere(len(rows), sum(costs, Decimal(0)))


def replayed(folder: Path) -> Ledger:
    ledger = Ledger(folder)
    for at, record in scan(folder):
        ledger.apply(at, record)
    ledger.end_session()
    return ledger


def figures(totals: Totals) -> dict[str, Any]:
    return {name: getattr(totals, name) for name in Totals.__slots__ if name != "examples"}


@given(st.lists(_records, max_size=14), st.sets(_ids))
@settings(max_examples=200)
def test_the_fold_is_what_a_recomputation_finds(journal: list[Any], in_input: set[str]) -> None:
    """Whatever is superseded, failed, answered after all, pending or gone: every sum is that of the last records."""
    naive = Naive(journal)
    with TemporaryDirectory() as folder:
        write_segment(Path(folder), 1, journal)
        ledger = replayed(Path(folder))
        assert figures(ledger.totals) == figures(naive.totals())
        assert ledger.superseded == paid(naive.superseded)
        assert ledger.pending_spend == naive.pending
        assert ledger.at_risk.requests == naive.at_risk
        assert len(ledger.runs) == sum(record["kind"] == "run" for record in journal)
        for key, row in naive.last.items():
            entry = ledger.index.find(key)
            assert entry is not None
            assert bare(ledger.read(entry)) == row
        for id_ in ("a", "b", "c"):
            assert ledger.spend_before(Key(id_)) == naive.spend_before(Key(id_))

        ledger.index.forget_ordinals()
        for ordinal, id_ in enumerate(sorted(in_input)):
            ledger.index.set_ordinal(ledger.index.add(Key(id_)), ordinal)
        gone = [naive.last.pop(Key(id_)) for id_ in ("a", "b", "c") if id_ not in in_input and Key(id_) in naive.last]
        ledger.drop_rows_not_in_input()
        assert figures(ledger.totals) == figures(naive.totals())
        assert ledger.not_in_input == paid([row for row in gone if not _bad(row)])
        ledger.close()


@given(st.lists(_records, max_size=14))
@settings(max_examples=100)
def test_no_money_is_forgotten(journal: list[Any]) -> None:
    """What rows, superseded answers and pending steps cost is all that was ever paid, where failures are carried on."""
    with TemporaryDirectory() as folder:
        # As the drive does it: a row's record holds what was spent on it before.
        lived: list[Any] = []
        paid_for = Decimal(0)
        for record in journal:
            if record["kind"] not in {"row", "step"}:
                lived.append(record)
                continue
            cost = spend_of(record).cost_usd
            paid_for += cost or 0
            if record["kind"] == "row" and not _bad(record):
                before = Naive(lived).spend_before(key_of(record))
                whole = (spend_of(record) + before).cost_usd
                lived.append(record | {"cost_usd": None if whole is None else float(whole)})
            else:
                lived.append(record)
        write_segment(Path(folder), 1, [{k: v for k, v in one.items() if v is not None} for one in lived])
        ledger = replayed(Path(folder))
        pending = sum((spend.cost_usd or Decimal(0) for spend in ledger.pending_spend.values()), Decimal(0))
        assert (ledger.totals.known_cost_usd or 0) + ledger.superseded.cost_usd + pending == paid_for
        ledger.close()


def test_an_answer_that_becomes_invalid_stays_paid(tmp_path: Path) -> None:
    """A failed row that cost money and can't be read any more leaves its cost among the superseded."""
    write_segment(tmp_path, 1, [failed(cost_usd=0.5), step("b", cost_usd=0.25), invalid(), invalid("b")])
    ledger = replayed(tmp_path)
    assert ledger.superseded == PaidElsewhere(1, Decimal("0.5"))
    assert ledger.totals.known_cost_usd is None
    assert ledger.spend_before(Key("b")) == Spend(1, 0, Decimal("0.25"))
    ledger.close()


def test_a_hold_that_was_not_settled_is_at_risk(tmp_path: Path) -> None:
    """Each run that was killed leaves its last hold; one that settled leaves none."""
    hold = [{"kind": "hold", "requests": n, "usd": None} for n in range(10)]
    journal = [run_record(), hold[9], hold[4], run_record(), hold[8], hold[0], run_record(), hold[3]]
    write_segment(tmp_path, 1, journal)
    assert replayed(tmp_path).at_risk.requests == 7


def test_a_hold_has_its_usd(tmp_path: Path) -> None:
    """Where a budget noted what was outstanding, each kill leaves the last of it, to the digit."""
    holds = [{"kind": "hold", "requests": 1, "usd": usd} for usd in ("0.10", "0.3", None, "0.7")]
    write_segment(tmp_path, 1, [run_record(), holds[0], holds[1], run_record(), holds[2], run_record(), holds[3]])
    ledger = replayed(tmp_path)
    assert ledger.uncertain_cost.at_risk_upper_bound_usd == Decimal("1.0")
    assert ledger.at_risk.unpriced == 1
    assert ledger.off_row_costs.at_risk_usd == 0, "one of them may have cost anything"
    ledger.at_risk.set_bound_for_unpriced("p", Decimal("0.5"))
    assert ledger.at_risk.unpriced == 0
    assert ledger.off_row_costs.at_risk_usd == ledger.uncertain_cost.upper_bound_usd == Decimal("1.5")


def test_money_at_risk_counts_at_the_ratio_of_the_price_it_was_reckoned_at(tmp_path: Path) -> None:
    """A price that was mended is not charged for what the old one was; what rows may have cost is, to be safe."""
    hold = {"kind": "hold", "requests": 8, "answers": 100}
    old, new = {"price": "h m 0.5", "dearest": "1.8"}, {"price": "h m 0.9", "dearest": "1.0"}
    journal = [run_record(), hold | old | {"usd": "1.0"}, run_record(), hold | new | {"usd": "0.1"}]
    write_segment(tmp_path, 1, [*journal, run_record(), answered("a", possibly_billed=1, possibly_billed_usd=0.01)])
    ledger = replayed(tmp_path)
    assert ledger.off_row_costs.at_risk_usd == Decimal("1.9")
    assert ledger.off_row_costs.unsure_usd == ledger.uncertain_cost.upper_bound_usd == Decimal("1.918")
    budget = Budget(
        Decimal(10),
        lambda _model, _usage: None,
        uncertain=ledger.uncertain_cost,
        learned=PriceRatio("h m 0.9", 100, Decimal(1)),
    )
    assert budget.counted_usd == ledger.uncertain_cost.upper_bound_usd, "what is told is what is counted"


def test_what_a_budget_learned_comes_back(tmp_path: Path) -> None:
    """By the price it was learned at, the last word; a hold without it, as older journals have, says nothing."""
    hold = {"kind": "hold", "requests": 0, "usd": None}
    seen = [("1/2", 3, "1.2"), ("1/2", 9, "1.5"), ("1/3", 1, "0.9")]
    holds = [hold | {"price": price, "answers": answers, "dearest": dearest} for price, answers, dearest in seen]
    write_segment(tmp_path, 1, [run_record(), hold, *holds])
    ledger = replayed(tmp_path)
    assert ledger.price_ratios == {"1/2": (9, Decimal("1.5")), "1/3": (1, Decimal("0.9"))}
    assert ledger.max_price_ratio == Decimal("1.5")
    assert Ledger(tmp_path).max_price_ratio == 1


def test_an_attempt_without_a_bound_takes_no_bound_from_those_that_come_after_it(tmp_path: Path) -> None:
    """A row that was cut off before there was a price, then timed out three times under a cap: these count."""
    lost = [step("a", possibly_billed=1), *(step("a", possibly_billed=1, possibly_billed_usd=0.5) for _ in range(3))]
    write_segment(tmp_path, 1, [run_record(), *lost])
    ledger = replayed(tmp_path)
    assert ledger.uncertain_cost.upper_bound_usd == Decimal("1.5")
    assert (ledger.off_row_costs.broke_off_usd, ledger.off_row_costs.unbounded) == (Decimal("1.5"), 1)
    spend = ledger.spend_before(Key("a"))
    ledger.apply(journal_offset(1, 0), {**answered("a", possibly_billed=4, **uncertain_fields(spend))})
    assert ledger.uncertain_cost.upper_bound_usd == Decimal("1.5")
    assert (ledger.totals.possibly_billed, ledger.totals.unbounded) == (4, 1)


def test_all_that_was_paid_and_all_that_may_have_been(tmp_path: Path) -> None:
    """Rows, replaced and gone ones, attempts at what is left and kills: each counts once, known and unsure apart."""
    maybe = {"possibly_billed": 1, "possibly_billed_usd": 0.01}
    step = {
        "kind": "step", "id": "s", "variant": "", "sample": 0, "attempts": 1, "possibly_billed": 1,
        "possibly_billed_usd": 0.04, "unreported_usd": 0.02, "cost_usd": 0.5,
    }  # fmt: skip
    journal = [
        run_record(),
        {"kind": "hold", "requests": 2, "usd": "0.08"},
        answered("a", cost_usd=1.0, **maybe),
        answered("a", cost_usd=2.0, unreported_usd=0.16),
        answered("g", cost_usd=4.0, **maybe),
        failed("f", cost_usd=8.0, possibly_billed=3),
        step,
    ]
    write_segment(tmp_path, 1, journal)
    ledger = replayed(tmp_path)
    ledger.index.forget_ordinals()
    for id_ in ("a", "f"):
        entry = ledger.index.find(Key(id_))
        assert entry is not None
        ledger.index.set_ordinal(entry, 0)
    before = (ledger.paid_usd, ledger.uncertain_cost.upper_bound_usd)
    ledger.drop_rows_not_in_input()
    assert ledger.not_in_input.rows == 1
    assert before == (ledger.paid_usd, ledger.uncertain_cost.upper_bound_usd) == (Decimal("15.5"), Decimal("0.32"))


def test_a_superseding_row_written_over_a_torn_tail_folds(tmp_path: Path) -> None:
    """The fold reads an old record back though the reader had looked ahead before the file was cut."""
    (first, second, third) = write_segment(tmp_path, 1, [answered(), answered(cost_usd=2.0), answered(cost_usd=3.0)])
    path = tmp_path / "journal-000001.jsonl"
    whole = path.read_bytes()
    size = second & (1 << 40) - 1
    path.write_bytes(whole[:size] + b"?" * 50 + b"\n" * 300)
    ledger = Ledger(tmp_path)
    ledger.apply(first, {**answered()})
    assert ledger.read(0)["cost_usd"] == answered()["cost_usd"]
    path.write_bytes(whole)
    ledger.apply(second, {**answered(cost_usd=2.0)})
    ledger.apply(third, {**answered(cost_usd=3.0)})
    assert ledger.superseded == PaidElsewhere(2, Decimal("2.000123"))
    ledger.close()
