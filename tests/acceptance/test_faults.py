"""Every fault of the mock at once: each row ends truly, and the books agree to the last digit."""

from __future__ import annotations

from decimal import Decimal
from math import comb

from batchchat.core.conversation import ErrorKind
from batchchat.mock import Fault
from batchchat.mock.faults import KINDS
from tests.acceptance.job import Job, rows
from tests.acceptance.servers import mock_thread

ROWS, SHARE = 2000, 0.05
UNCOUNTED = {"429", "503"}
"""Refusals use up no attempt."""
MAY_BE_BILLED = {"drop", "drop-after", "truncate", "garbage", "empty", "error-in-200"}
"""The 502 inside a 200 is a gateway's."""
MAX_ATTEMPTS, MAX_POSSIBLY_BILLED = 6, 3


def share_of_failing_rows() -> float:
    """How many rows come to a limit of theirs before they are answered, by the shares of the faults."""
    shares = {kind: SHARE * (1 - SHARE) ** position for position, kind in enumerate(KINDS)}  # the first that hits wins
    counted = 1 - sum(shares[kind] for kind in UNCOUNTED)
    billed = sum(shares[kind] for kind in MAY_BE_BILLED) / counted
    unbilled = shares["500"] / counted
    return sum(
        # The last attempt is billed, the two before it and the `others` come in any order; or all six are spent.
        comb(MAX_POSSIBLY_BILLED - 1 + others, others) * billed**MAX_POSSIBLY_BILLED * unbilled**others
        for others in range(MAX_ATTEMPTS - MAX_POSSIBLY_BILLED + 1)
    ) + sum(
        comb(MAX_ATTEMPTS, count) * billed**count * unbilled ** (MAX_ATTEMPTS - count)
        for count in range(MAX_POSSIBLY_BILLED)
    )


def upper_bound(count: int, share: float, chance: float) -> int:
    """The least number that a binomial variable exceeds with less than this `chance`."""
    left, number = 1.0, -1
    while left >= chance:
        number += 1
        left -= comb(count, number) * share**number * (1 - share) ** (count - number)
    return number


def test_every_fault_at_five_per_cent(job: Job) -> None:
    """Of 2,000 rows each is answered or failed with a reason of the closed list, and the sums are the server's own."""
    with mock_thread(seed=7, faults=tuple(Fault(kind, SHARE) for kind in KINDS)) as mock:
        job.write(rows(ROWS), endpoint__base_url=mock.url, concurrency=128, retry__max_wait=0.2, timeout__connect=60)
        ended = job.run("--progress", "none")
        stats = mock.stats()
    table = job.table()
    failed = [row for row in table if row["status"] == "failed"]
    assert ended.code == (3 if failed else 0), ended.err
    assert [row["id"] for row in table] == [row["id"] for row in rows(ROWS)]
    assert {row["status"] for row in table} <= {"answered", "failed"}
    assert len(failed) <= upper_bound(ROWS, share_of_failing_rows(), 1e-6)
    assert {row["error_kind"] for row in failed} <= {kind.value for kind in ErrorKind}
    assert all(row["error"] for row in failed)
    assert all((row["error_kind"] is None) == (row["status"] == "answered") for row in table)

    paid = sum((Decimal(repr(row["cost_usd"])) for row in table if row["cost_usd"] is not None), Decimal(0))
    assert paid == Decimal(stats["reported_cost_usd"])
    assert Decimal(repr(job.state()["cost_usd"])) == paid
    assert stats["answered"] == len(table) - len(failed)
    assert sum(row["attempts"] for row in table) == stats["requests"] == sum(stats["statuses"].values())


def test_what_may_have_been_billed(job: Job) -> None:
    """Each attempt whose answer never came, or came in no form that can be read, is counted as possibly billed."""
    faults = tuple(Fault(kind, 0.2) for kind in ("drop-after", "truncate", "garbage"))
    with mock_thread(faults=faults) as mock:
        job.write(rows(200), endpoint__base_url=mock.url, retry__max_wait=0.05, retry__max_attempts=30)
        job.write(retry__max_possibly_billed=30)
        ended = job.run("--progress", "none")
        stats = mock.stats()
    assert ended.code == 0
    lost = stats["billed_twice"]
    assert lost == stats["requests"] - 200
    assert sum(row["possibly_billed_attempts"] for row in job.table()) == lost
    assert f" not in it: {lost} attempts that broke off " in ended.out


def test_a_row_is_not_possibly_billed_for_ever(job: Job) -> None:
    """After `retry.max_possibly_billed` attempts that broke off a row fails, and says why; at most so much went."""
    with mock_thread(faults=(Fault("drop-after", 1),)) as mock:
        job.write(rows(2), endpoint__base_url=mock.url, retry__max_wait=0.01, params__max_tokens=100)
        job.write(price={"input": 1, "output": 2}, retry__max_possibly_billed=2)
        ended = job.run()
        assert mock.stats()["requests"] == 4
    assert ended.code == 3
    assert all(row["error"].endswith(" (`retry.max_possibly_billed`)") for row in job.table())
    # Ten bytes and 16 tokens of a message at $1 a million, 100 tokens of a reply at $2, four times.
    assert "  cost      none known · at most $0.0009 more for 4 attempts" in ended.out


def test_the_reason_is_the_endpoints(job: Job) -> None:
    """A row that fails for good says what the endpoint said, and the sum has what its attempts had cost."""
    with mock_thread(faults=(Fault("empty", 1),)) as mock:
        job.write(rows(3), endpoint__base_url=mock.url, retry__max_wait=0.01)
        ended = job.run()
        stats = mock.stats()
    assert ended.code == 3
    assert [(row["error_kind"], row["error"], row["attempts"]) for row in job.table()] == [
        ("empty_reply", "the reply is empty (finish_reason stop)", 3)
    ] * 3
    assert sum(Decimal(repr(row["cost_usd"])) for row in job.table()) == Decimal(stats["cost_usd"])
    assert "  failed    3 empty_reply  " in ended.out
    assert ": the reply is empty (finish_reason stop)\n" in ended.out
    assert ended.out.endswith("\n\nnext  batchchat report out.parquet\n      batchchat run job.yaml --retry-failed\n")
