"""How likely it is that a row is itself the cause of its refusals, and that all rows refused of late are; pure.

Of the rows, a share is bad: they are refused for ever. The others are good, and refused by the background. Rows that
were answered in the end were good, so their refusals give the background, and bad rows don't blur it. The share of bad
rows is the one that fits best what is known of the rows that are still refused: one step of expectation maximisation
with each refusal. With both, each contradicted refusal of a row makes it likelier that the row is bad.

Where nothing is answered, either all rows refused since the latest answer are bad, or the endpoint is away. The product
of their odds tells: with bad rows alone left at the end of a run it comes close to one, and each good row that is
refused with them takes it down by far. Below one in ten thousand it is an outage.
"""

from __future__ import annotations

from collections import Counter
from math import log

from batchchat.core.conversation import Key

__all__ = ["RefusalOdds"]

_OUTAGE = log(1e-4)
_ONE_BAD = 0.9
_LOST_CONNECTION = log(1e-3)
"""No row can be the cause of a connection that is not had."""


class RefusalOdds:
    """Counts answers, and rows by how many contradicted refusals they have."""

    def __init__(self) -> None:
        self._answered = self._refusals_of_answered = self._given_up = 0
        self._rows = Counter[int]()  # by their contradicted refusals
        self._bad = 0.0
        self._log_all_bad = 0.0
        self._since_answer: dict[Key, tuple[int, float]] = {}

    @property
    def background(self) -> float:
        """The share of a good row's requests that are refused."""
        return (self._refusals_of_answered + 0.5) / (self._answered + self._refusals_of_answered + 1)

    @property
    def has_bad_rows(self) -> bool:
        """Whether a row of this run was given up as the cause of its refusals, or one or more are likely to be."""
        return self._given_up > 0 or self._bad >= _ONE_BAD

    @property
    def is_outage(self) -> bool:
        """Whether the rows refused since the latest answer can't all be bad."""
        return self._log_all_bad < _OUTAGE

    def of_row(self, contradicted: int) -> float:
        """The probability that a row with so many `contradicted` refusals is bad."""
        bad = (self._given_up + self._bad + 0.5) / (self._answered + self._given_up + self._bad + 1)
        return float(bad / (bad + (1 - bad) * self.background**contradicted))

    def add_answer(self, number: int, refusals: int) -> None:
        """The request of this `number`, the latest so far of those answered, was; its row had so many `refusals`."""
        self._answered += 1
        self._refusals_of_answered += refusals
        since = self._since_answer
        while since:
            key = next(iter(since))
            if since[key][0] > number:
                return
            self.remove_refusal(key)

    def add_lost_connection(self, key: Key, number: int) -> None:
        """The request of this `number` did not reach the endpoint."""
        self._add(key, number, _LOST_CONNECTION)

    def add_refusal(self, key: Key, number: int, contradicted: int) -> None:
        """The request of this `number` was refused, and no later one answered yet."""
        self._bad = sum(rows * self.of_row(count) for count, rows in self._rows.items() if count)
        self._add(key, number, log(self.of_row(contradicted)))

    def remove_refusal(self, key: Key) -> None:
        """The row of `key` was answered, given up, or is forgotten."""
        if (entry := self._since_answer.pop(key, None)) is not None:
            self._log_all_bad = self._log_all_bad - entry[1] if self._since_answer else 0.0

    def refused_since_answer(self) -> list[tuple[Key, int]]:
        """The rows that were refused since the latest answer, and the number of that refusal."""
        return [(key, number) for key, (number, _) in self._since_answer.items()]

    def move_row(self, before: int | None, after: int | None) -> None:
        """A row has `after` contradicted refusals now instead of `before`; None: it was, or is, not refused at all."""
        if before is not None:
            self._rows[before] -= 1
        if after is not None:
            self._rows[after] += 1

    def add_given_up(self) -> None:
        """A row was given up as the cause of its refusals."""
        self._given_up += 1

    def _add(self, key: Key, number: int, log_bad: float) -> None:
        self.remove_refusal(key)
        self._since_answer[key] = number, log_bad
        self._log_all_bad += log_bad
