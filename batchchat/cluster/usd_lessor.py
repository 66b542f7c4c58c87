"""The parent's side of the budget: one cap, of which each worker has a part. Pure.

The parts, and what was spent apart from them, never come to more than the cap. A worker's part is what it may count at
most as paid, perhaps paid, or reserved for requests in flight; what it counts is the more where the price has turned
out higher. A part is the worker's until it gives back what it does not need, or until its replacement, which has
replayed its journal, says what was spent. Nothing is granted before each worker whose journal counts
something has said what that is.

Once a need does not fit although nothing is held or in flight that could free money, no more is granted: as in one
process, a smaller request behind it is not looked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from batchchat.cluster.messages import UsdReport
from batchchat.policy.budget import LEARNING_ANSWERS, PriceRatio

__all__ = ["UsdLessor"]

_NO_USD = Decimal(0)


class _UsdAccount:
    """Of one incarnation: its last report, and what it was granted in all."""

    def __init__(self, report: UsdReport) -> None:
        self.report = report
        self.granted = _NO_USD
        self.is_replaced = True
        """Whether the worker lives or will be replaced: what it holds may become free."""

    @property
    def on_the_way(self) -> Decimal:
        """What was granted and is not in the report yet."""
        return self.granted - self.report.heard

    @property
    def claim(self) -> Decimal:
        """The most that the worker may have spent by now, or spend on without asking."""
        report = self.report
        return max(report.cap + self.on_the_way, report.settled + report.reserved)


class UsdLessor:
    """Leases `max_cost_usd`, of which `spent_usd` were spent apart from the journals of `workers`."""

    def __init__(self, max_cost_usd: Decimal, workers: Iterable[str], spent_usd: Decimal = _NO_USD) -> None:
        self.max_cost_usd = max_cost_usd
        self.is_spent_up = False
        self._unreported = set(workers)
        self._accounts: dict[str, _UsdAccount] = {}
        self._claimed_usd = spent_usd
        self._answers: dict[str, int] = {}
        self._answer_count = 0
        self._outliers: dict[str, Decimal] = {}
        self._max_ratio = _NO_USD

    @property
    def learned(self) -> PriceRatio:
        """What the answers of all workers have shown of the price."""
        return PriceRatio("", self._answer_count, self._max_ratio)

    @property
    def is_learning(self) -> bool:
        """Whether too few answers have settled to know their real cost."""
        return self._answer_count < LEARNING_ANSWERS

    @property
    def claimed_usd(self) -> Decimal:
        """What is spent, or may be spent by the workers without asking."""
        return self._claimed_usd

    def expect(self, worker: str) -> None:
        """Grant nothing before `worker` has reported."""
        self._unreported.add(worker)

    def report(self, worker: str, report: UsdReport) -> None:
        """Take over what a worker counts."""
        self._unreported.discard(worker)
        account = self._accounts.get(worker)
        if account is None:
            account = self._accounts[worker] = _UsdAccount(report)
        else:
            self._claimed_usd -= account.claim
            account.report = report
        self._claimed_usd += account.claim
        if self.is_learning:
            # What stands alone at one worker does not where another has seen its like.
            self._outliers[worker] = max(report.outlier, self._outliers.get(worker, _NO_USD))
            self._max_ratio = max(self._max_ratio, sorted((_NO_USD, _NO_USD, *self._outliers.values()))[-2])
        # A worker's count of answers begins again at what its journal noted.
        answers = self._answers.get(worker, 0)
        if report.answers > answers:
            self._answers[worker] = report.answers
            self._answer_count += report.answers - answers
        self._max_ratio = max(self._max_ratio, report.max_ratio)

    def lacks(self, worker: str) -> bool:
        """Whether `worker` needs more than is free. Once it never will be, nobody is kept waiting for it."""
        return not self.is_spent_up and self._needed(worker) > self._free(worker)

    def judge(self, worker: str) -> None:
        """`worker` lacks money: if nothing that is in flight or held can free any, all is spent."""
        is_settled = not self._accounts[worker].report.reserved and not self._can_free_any(worker)
        self.is_spent_up = is_settled and not self._unreported

    def grant(self, worker: str, sharers: int) -> None:
        """Grant `worker` its need, which is free, and up to one of `sharers` parts of what is left."""
        if self._unreported or self.is_spent_up:
            return
        account, needed, free = self._accounts[worker], self._needed(worker), self._free(worker)
        wanted = account.report.wanted - account.on_the_way
        if free > needed:
            needed += max(_NO_USD, min(wanted - needed, (free - needed) / sharers))
        before_usd = account.claim
        account.granted += needed
        self._claimed_usd += account.claim - before_usd

    def granted(self, worker: str) -> Decimal:
        """The total granted to `worker` since its start."""
        return self._accounts[worker].granted

    def begin(self, worker: str) -> None:
        """A new incarnation of `worker` has replayed its journal: what it reports next is all that was spent."""
        account = self._accounts.pop(worker, None)
        if account is not None:
            self._claimed_usd -= account.claim

    def end(self, worker: str, *, is_replaced: bool, has_settled: bool = False) -> None:
        """The worker's process has ended. Its part stays as it is until it is replaced, or for good.

        If it `has_settled`, nobody has heard of what was granted after its last report, and that is free.
        """
        account = self._accounts.get(worker)
        if account is None:
            return
        account.is_replaced = is_replaced
        if has_settled:
            self._claimed_usd -= account.claim
            account.granted = account.report.heard
            self._claimed_usd += account.claim

    def _needed(self, worker: str) -> Decimal:
        account = self._accounts[worker]
        return max(_NO_USD, account.report.needed - account.on_the_way)

    def _free(self, worker: str) -> Decimal:
        """What `worker` may be granted. One that counts more than its cap is granted first what is counted already."""
        if self._unreported:
            return _NO_USD
        account = self._accounts[worker]
        covered_usd = account.claim - account.report.cap - account.on_the_way
        return self.max_cost_usd - self.claimed_usd + covered_usd

    def _can_free_any(self, worker: str) -> bool:
        """Whether another than `worker` holds money that it has not settled, and may yet give back."""
        return any(
            account.is_replaced and account.claim > account.report.settled
            for name, account in self._accounts.items()
            if name != worker
        )
