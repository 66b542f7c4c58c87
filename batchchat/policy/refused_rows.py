"""Which rows are themselves the cause of their refusals; pure.

Too large for a limit of tokens, or a prompt that kills its worker so that the balancer says 503: such a row is refused
for ever, while all others are answered. A refusal is contradicted where a request that was sent after it, and before
the row's next attempt, was answered. A row is given up for at least as many refusals as it may have attempts, all
contradicted but the last, and only where chance does not explain them: each refusal counts by the share of other rows'
requests, sent next before it and next after it, that were refused as well, and the product of those shares must be
below one in a million. Where half of all requests are refused that takes twenty refusals in a row, and nobody is given
up for them.

Long before, once chance explains less than one in fifty, the row is suspected: its refusals are shown to the other
policies as the row's own. They lower no ceiling, hold no other request, and are no sign of an outage.

At the end of a run nothing is sent that could contradict a refusal. There a refusal counts as contradicted where an
earlier one of its row was, or where other rows of this run are suspected, and no more than a few rows are refused that
were never contradicted: those would be the signs of a limit, or of an outage.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log

from batchchat.core.attempt import Action, Attempt, Scope
from batchchat.core.conversation import Key

__all__ = ["RefusedRows"]

_IN_FLIGHT, _ANSWERED, _REFUSED, _SAYS_NOTHING = range(4)
_RING = 1 << 14
_NEIGHBOURS, _MAX_DISTANCE = 32, 512
_GIVEN_UP, _SUSPECTED = log(1e-6), log(0.02)
_MIN_CONTRADICTED = 2
_MAX_ROWS, _MAX_NUMBERS, _MAX_OPEN = 50_000, 64, 16


@dataclass(slots=True)
class _Row:
    """The refusals of a row by their `numbers`; `log_chance` is of the `contradicted` ones, without the last.

    `uncontradicted` has the others: a refusal's number, and that of the row's next.
    """

    numbers: list[int] = field(default_factory=list)
    uncontradicted: list[tuple[int, int]] = field(default_factory=list)
    contradicted: int = 0
    log_chance: float = 0.0
    suspected: bool = False


class RefusedRows:
    """Numbers requests in the order they are sent in; gives a row up after `max_attempts` refusals at the earliest."""

    def __init__(self, max_attempts: int = 6) -> None:
        self._min_contradicted = max(_MIN_CONTRADICTED, max_attempts - 1)
        self._ring = bytearray(_RING)
        self._sent = 0
        self._latest_answered = -1
        self._rows: dict[Key, _Row] = {}
        self._suspected = 0

    def sent(self) -> int:
        """A request is sent; its number."""
        number = self._sent
        self._sent = number + 1
        self._ring[number % _RING] = _IN_FLIGHT
        return number

    def settled(self, number: int, attempt: Attempt | None) -> Attempt | None:
        """What came of the request of this `number`, as other policies are to see it; None: it was cancelled."""
        if attempt is None:
            self._note(number, _SAYS_NOTHING)
            return None
        verdict = attempt.verdict
        if verdict.action is not Action.RETRY:
            is_answer = verdict.action is Action.ACCEPT or verdict.action is Action.FAIL_ROW
            self._note(number, _ANSWERED if is_answer else _SAYS_NOTHING)
            if is_answer and number > self._latest_answered:
                self._latest_answered = number
            if self._rows:
                self._rows.pop(attempt.request.key, None)
            return attempt
        if verdict.scope is Scope.ROW or attempt.may_be_billed or attempt.http_status is None:
            self._note(number, _SAYS_NOTHING)
            return attempt
        return self._refused(number, attempt)

    def is_cause(self, key: Key) -> bool:
        """Whether the row of `key` is suspected to be itself the cause of its refusals."""
        row = self._rows.get(key)
        return row is not None and row.contradicted > 0 and row.log_chance <= _SUSPECTED

    def cause(self, key: Key) -> str | None:
        """Why the row of `key`, which was just refused, is given up; None where it is not."""
        row = self._rows.get(key)
        if row is None or row.contradicted < self._min_contradicted:
            return None
        if row.log_chance + log(self._share_refused(row, row.numbers[-1])) > _GIVEN_UP:
            return None
        del self._rows[key]
        return f"refused {row.contradicted + 1} times, while other requests were answered (`retry.max_attempts`)"

    def _refused(self, number: int, attempt: Attempt) -> Attempt:
        key = attempt.request.key
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
            if len(self._rows) > _MAX_ROWS:
                del self._rows[next(iter(self._rows))]
        else:
            row.uncontradicted.append((row.numbers[-1], number))
            self._look_again(row, number)
        row.numbers.append(number)
        del row.numbers[:-_MAX_NUMBERS]
        is_cause = self.is_cause(key)
        if is_cause and not row.suspected:
            row.suspected = True
            self._suspected += 1
            for earlier in row.numbers:  # they say nothing of the others' chance
                self._note(earlier, _SAYS_NOTHING)
        self._note(number, _SAYS_NOTHING if is_cause else _REFUSED)
        if not is_cause and not (len(row.numbers) > 1 and self._nothing_else_in_flight() and self._is_alone(row)):
            return attempt
        return attempt._replace(verdict=replace(attempt.verdict, scope=Scope.ROW, wait_s=None))

    def _look_again(self, row: _Row, latest: int) -> None:
        """Count the refusals of a row that are contradicted by now, when its `latest` comes; answers may take long."""
        left = []
        for number, following in row.uncontradicted:
            after = self._ring_between(number + 1, min(following, number + _MAX_DISTANCE))
            if _ANSWERED in after or (following == latest and _IN_FLIGHT not in after and self._is_alone(row)):
                row.contradicted += 1
                row.log_chance += log(self._share_refused(row, number))
            else:
                left.append((number, following))
        row.uncontradicted = left[-_MAX_OPEN:]

    def _is_alone(self, row: _Row) -> bool:
        """Whether a refusal counts though nothing was sent later that was answered: the others show no limit."""
        if not row.contradicted and not self._suspected:
            return False
        unexplained = sum(
            not candidate.contradicted and candidate.numbers[-1] > self._latest_answered
            for candidate in self._rows.values()
        )
        return unexplained <= (max(2, self._suspected // 4) if self._suspected else 0)

    def _nothing_else_in_flight(self) -> bool:
        return _IN_FLIGHT not in self._ring_between(max(0, self._sent - _MAX_DISTANCE), self._sent)

    def _ring_between(self, first: int, end: int) -> bytes:
        """The states of the requests with the numbers from `first` up to `end`, as far as they are remembered."""
        first = max(first, self._sent - _RING)
        return bytes(self._ring[number % _RING] for number in range(first, end))

    def _share_refused(self, row: _Row, number: int) -> float:
        """The share of other rows' requests, sent around the one of this `number`, that were refused."""
        number = min(number, max(self._latest_answered, 0))  # behind it are only those that may be like this one
        answered = refused = 0
        first, last = max(0, number - _MAX_DISTANCE, self._sent - _RING), min(self._sent, number + _MAX_DISTANCE)
        for numbers in (range(number - 1, first - 1, -1), range(number + 1, last)):
            left = _NEIGHBOURS
            for neighbour in numbers:
                state = self._ring[neighbour % _RING]
                if state == _ANSWERED:
                    answered += 1
                elif state == _REFUSED and neighbour not in row.numbers:
                    refused += 1
                else:
                    continue
                left -= 1
                if not left:
                    break
        return (refused + 0.5) / (answered + refused + 1)

    def _note(self, number: int, state: int) -> None:
        if number >= self._sent - _RING:
            self._ring[number % _RING] = state
