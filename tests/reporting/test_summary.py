"""The morning, as text."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from batchchat.core.attempt import Spend
from batchchat.core.conversation import Key
from batchchat.core.record import RowRecord
from batchchat.core.run_figures import ThisRun
from batchchat.reporting.summary import RunSummary, replies, summary
from batchchat.store.ledger import Ledger
from batchchat.text.run_sentence import Standing

pytestmark = pytest.mark.usefixtures("wide_terminal")


def answered(number: int, **fields: object) -> RowRecord:
    record: RowRecord = {
        "kind": "row", "id": f"r{number}", "variant": "", "sample": 0, "fp": "00", "place": f"a.jsonl:{number}",
        "ordinal": number, "status": "answered", "model": "m", "messages": [{"role": "user", "content": "Hello!"}],
        "attempts": 1, "possibly_billed": 0, "latency_s": 4.0, "wait_s": 0.0, "started_at": 1.0, "finished_at": 5.0,
        "reply": {"text": "Hi!"}, "usage": {"prompt_tokens": 15, "completion_tokens": 16, "cached_tokens": 5},
        "cost_usd": 0.0000268, "cost_source": "reported",
    }  # fmt: skip
    record.update(fields)  # type: ignore[typeddict-item]
    return record


def failed(number: int, kind: str, error: str, status: str = "failed") -> RowRecord:
    return answered(number, status=status, error_kind=kind, error=error, reply=None, cost_usd=None, usage=None)


def ledger_of(folder: Path, *rows: RowRecord) -> Ledger:
    ledger = Ledger(folder)
    for row in rows:
        known = {name: value for name, value in row.items() if value is not None}
        ledger.apply(0, known)
    return ledger


def facts(ledger: Ledger, **fields: object) -> RunSummary:
    given: dict[str, object] = {
        "name": "chef", "totals": ledger.totals, "off_row_costs": ledger.off_row_costs, "this_run": ThisRun(),
        "output": "out/chef.parquet", "output_bytes": 31_000_000, "next_commands": (),
    }  # fmt: skip
    left = fields.pop("left", 0)
    given["standing"] = Standing("finished", None, ledger.totals.counts(left), running_s=591.0)  # type: ignore[arg-type]
    return RunSummary(**(given | fields))  # type: ignore[arg-type]


def test_a_good_night(tmp_path: Path) -> None:
    """All answered: what it cost, how long it took, where it is, and no word more."""
    ledger = ledger_of(tmp_path, *(answered(number) for number in range(3)))
    assert summary(facts(ledger)) == (
        "chef: 3 of 3 rows answered in 9m 51s for <$0.0001\n"
        "\n"
        "  rows      3 answered\n"
        "  tokens    45 in (15 cached) · 48 out\n"
        "  cost      <$0.0001 reported by the endpoint\n"
        "  latency   p50 4.00 s · p95 4.00 s · p99 4.00 s\n"
        "\n"
        "  output    out/chef.parquet · 31 MB"
    )


def test_a_mixed_night(tmp_path: Path) -> None:
    """Failures by kind with an example, retries by reason, what is not in the cost beside it, and what to type."""
    ledger = ledger_of(
        tmp_path,
        answered(1, cost_usd=120.5, attempts=3, possibly_billed=1, retries={"rate_limit": 1, "gateway_timeout": 1}),
        answered(2, cost_usd=None, cost_source=None, usage=None),
        failed(3, "context_length", "Requested input length 99009 exceeds maximum input length 8192"),
        failed(4, "context_length", "Requested input length 88000 exceeds maximum input length 8192"),
        failed(5, "content_filter", "the response was filtered"),
        failed(6, "invalid_input", "`messages` is empty", "invalid"),
    )
    ledger.superseded.cost_usd = Decimal("1.5")
    ledger.pending_spend[Key("r9")] = Spend(attempts=2, possibly_billed=1, cost_usd=Decimal("0.25"), unbounded=1)
    ledger.at_risk.requests = 128
    text = summary(facts(ledger, left=4, next_commands=["batchchat run chef.yaml --retry-failed"]))
    assert text == (
        "chef: 2 of 10 rows answered in 9m 51s for $122.25, 4 left\n"
        "\n"
        "  rows      2 answered · 3 failed · 1 invalid · 4 left\n"
        "  tokens    15 in (5 cached) · 16 out · unknown for 1 row\n"
        "  cost      $120.50 reported by the endpoint\n"
        "            unknown for 1 row: the endpoint reports none, and no price is known for it\n"
        "            $1.5000 more for answers replaced or gone from the input\n"
        "            $0.2500 more for attempts at rows that are left\n"
        "            not in it: 2 attempts that broke off and may have been billed\n"
        "            not in it: up to 128 requests that were in flight when a run was killed\n"
        "  latency   p50 4.00 s · p95 4.00 s · p99 4.00 s\n"
        "  retries   2: 1 rate limit · 1 gateway timeout\n"
        "  failed    2 context_length  r3: Requested input length 99009 exceeds maximum input length 8192\n"
        "            1 content_filter  r5: the response was filtered\n"
        "  invalid   1  a.jsonl:6: `messages` is empty\n"
        "\n"
        "  output    out/chef.parquet · 31 MB\n"
        "\n"
        "next  batchchat run chef.yaml --retry-failed"
    )


def test_what_may_have_been_paid_stands_beside_what_was(tmp_path: Path) -> None:
    """Where it has a bound: attempts that broke off, replies without usage, and what a kill left."""
    ledger = ledger_of(
        tmp_path,
        answered(1, cost_usd=6.2841, possibly_billed=1, possibly_billed_usd=0.0021),
        answered(2, cost_usd=None, cost_source=None, usage=None, unreported_usd=0.03),
    )
    ledger.pending_spend[Key("r9")] = Spend(attempts=1, possibly_billed=1, possibly_billed_usd=Decimal("0.001"))
    ledger.at_risk.requests, ledger.at_risk.usd = 128, {"": Decimal("0.25")}
    assert (
        "  cost      $6.2841 reported by the endpoint · at most $0.0031 more for 2 attempts that broke off\n"
        "            unknown for 1 row: the endpoint reports no usage; at most $0.0300\n"
        "            not in it: up to 128 requests that were in flight when a run was killed, at most $0.2500\n"
    ) in summary(facts(ledger))


def test_a_cap_is_told_with_what_it_leaves(tmp_path: Path) -> None:
    """All that counts against it is in it, at the dearest price seen; over it is told as over."""
    ledger = ledger_of(tmp_path, answered(1, cost_usd=3.0, possibly_billed=1, possibly_billed_usd=0.5))
    ledger.superseded.cost_usd = Decimal(1)
    ledger.price_ratios["p"] = (20, Decimal("1.5"))
    text = summary(facts(ledger, max_cost_usd=Decimal(5)))
    assert "  budget    $4.7500 of $5.0000, what may have been paid included · $0.2500 left\n" in text
    assert "at most $0.7500 more for 1 attempt that broke off\n" in text
    ledger = ledger_of(tmp_path, answered(1, cost_usd=3.0))
    assert "  budget    $3.0000 of $2.5000 · $0.5000 over\n" in summary(facts(ledger, max_cost_usd=Decimal("2.5")))


def test_unknown_is_never_nothing(tmp_path: Path) -> None:
    """A server that reports neither usage nor cost gives unknown, not 0."""
    ledger = ledger_of(tmp_path, answered(1, cost_usd=None, cost_source=None, usage=None))
    text = summary(facts(ledger))
    assert "  tokens    unknown: the endpoint reports none\n" in text
    assert "  cost      unknown for 1 row: the endpoint reports none, and no price is known for it\n" in text
    assert "$0" not in text


def test_replies_are_read_in_the_order_of_the_input() -> None:
    """A small run shows prompts and replies, a line each, shortened; failures with their reason."""
    rows = [
        failed(3, "bad_request", "no such field"),
        answered(2, sample=1, reply={"tool_calls": [{}, {}]}),
        answered(1, reply={"text": "word " * 100}),
        answered(4, reply={"refusal": "I can't."}, messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
    ]
    lines = replies(rows).splitlines()
    assert lines[0] == "r1  Hello!"
    assert lines[1] == "    " + ("word " * 100)[:159] + "…"
    assert lines[2:4] == ["r2##1  Hello!", "    (2 tool calls)"]
    assert lines[5] == "    bad_request: no such field"
    assert lines[6:] == ["r4  (not text)", "    refused: I can't."]
