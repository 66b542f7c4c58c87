"""Which rows are themselves the cause of their refusals; pure.

Too large for a limit of tokens, or a prompt that kills its worker so that the balancer says 503: such a row is refused
for ever, while all others are answered. A refusal is contradicted where a request that was sent after it, and before
the row's next attempt, was answered. A row is given up for at least as many refusals as it may have attempts, all
contradicted but the last, and only where chance does not explain them: each refusal counts by the share of other rows'
requests, sent next before it and next after it, that were refused as well, and the product of those shares must be
below one in a million. Where half of all requests are refused that takes twenty refusals in a row, and nobody is given
up for them.

Long before, the row is suspected: once chance explains less than one in fifty, or the odds (`refusal_odds`) are as
high that it is bad. Its refusals are shown to the other policies as the row's own. They lower no ceiling, hold no other
request, and are no sign of an outage.

At the end of a run only such rows are left, and nothing is sent that could contradict a refusal. There the refusals of
a row count that was contradicted before, by the background alone, as long as all rows refused since the latest answer
may be bad ones. In an outage they can't all be: good rows are refused as well, and then nothing counts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import log

from batchchat.core.attempt import Action, Attempt, Scope
from batchchat.core.conversation import Key
from batchchat.policy.refusal_odds import RefusalOdds

__all__ = ["RefusedRows"]

_IN_FLIGHT, _ANSWERED, _REFUSED, _SAYS_NOTHING = range(4)
_SETTLED = (Action.ACCEPT, Action.FAIL_ROW)
_RING = 1 << 14
_NEIGHBOURS, _MAX_DISTANCE = 32, 512
_GIVEN_UP, _SUSPECTED = log(1e-6), log(0.02)
_BAD, _BAD_AT_THE_END = 0.98, 0.5
_LIMIT_SHARE = 0.5
_MIN_CONTRADICTED = 2
_MAX_ROWS, _MAX_NUMBERS, _MAX_OPEN = 50_000, 64, 16


@dataclass(slots=True)
class _Row:
    """The refusals of a row by their `numbers`. `log_chance` is of the `contradicted` ones, without the last.

    `open` has the others: a refusal's number, and that of the row's next. Of those, `at_end` counted though nothing
    contradicts them, with a chance of `log_chance_at_end`.
    """

    numbers: list[int] = field(default_factory=list)
    open: list[tuple[int, int]] = field(default_factory=list)
    contradicted: int = 0
    log_chance: float = 0.0
    at_end: int = 0
    log_chance_at_end: float = 0.0
    suspected: bool = False


class RefusedRows:
    """Numbers requests in the order they are sent in; gives a row up after `max_attempts` refusals at the earliest."""

    def __init__(self, max_attempts: int = 6) -> None:
        self._min_contradicted = max(_MIN_CONTRADICTED, max_attempts - 1)
        self._ring = bytearray(_RING)
        self._sent = 0
        self._latest_fresh = 0
        self._fresh = deque[int](maxlen=_NEIGHBOURS)
        self._latest_answered = -1
        self._rows: dict[Key, _Row] = {}
        self._odds = RefusalOdds()
        self._answered_since_look = False

    def sent(self, *, again: bool = False) -> int:
        """A request is sent, `again` after it failed; its number."""
        number = self._sent
        self._sent = number + 1
        self._ring[number % _RING] = _IN_FLIGHT
        if not again:
            self._latest_fresh = number
            self._fresh.append(number)
        return number

    def settled(self, number: int, attempt: Attempt | None) -> Attempt | None:
        """What came of the request of this `number`, as other policies are to see it; None: it was cancelled."""
        if attempt is None:
            self._note(number, _SAYS_NOTHING)
            return None
        verdict = attempt.verdict
        if verdict.action in _SETTLED:
            self._answered(number, attempt.request.key)
            return attempt
        if verdict.action is Action.RETRY and verdict.scope is Scope.ENDPOINT and not attempt.may_be_billed:
            if attempt.http_status is not None:
                return self._refused(number, attempt)
            self._odds.add_lost_connection(attempt.request.key, number)
        self._note(number, _SAYS_NOTHING)
        return attempt

    def is_cause(self, key: Key) -> bool:
        """Whether the row of `key` is suspected to be itself the cause of its refusals."""
        row = self._rows.get(key)
        return row is not None and self._is_suspect(row)

    def cause(self, key: Key) -> str | None:
        """Why the row of `key`, which was just refused, is given up; None where it is not."""
        row = self._rows.get(key)
        if row is None:
            return None
        count, log_chance = self._evidence(row)
        if count < self._min_contradicted:
            return None
        if log_chance + log(self._share_refused(row, row.numbers[-1])) > _GIVEN_UP:
            return None
        self._odds.add_given_up()
        self._forget(key)
        return f"refused {count + 1} times, while other requests were answered (`retry.max_attempts`)"

    def _answered(self, number: int, key: Key) -> None:
        self._note(number, _ANSWERED)
        row = self._rows.get(key) if self._rows else None
        if number > self._latest_answered:  # noqa: PLR1730 (once a request, and `max` takes three times as long)
            self._latest_answered = number
        self._odds.add_answer(number, 0 if row is None else len(row.numbers))
        self._answered_since_look = True
        if row is not None:
            self._forget(key)

    def _refused(self, number: int, attempt: Attempt) -> Attempt:
        key = attempt.request.key
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
            self._odds.move_row(None, 0)
            if len(self._rows) > _MAX_ROWS:
                self._forget(next(iter(self._rows)))
        else:
            row.open.append((row.numbers[-1], number))
            self._look_again(row)
        row.numbers.append(number)
        del row.numbers[:-_MAX_NUMBERS]
        if number > self._latest_answered:
            self._odds.add_refusal(key, number, row.contradicted)
        is_alone = self._is_alone()
        if is_alone and self._answered_since_look:
            self._look_at_all()
        is_cause = self._is_suspect(row)
        if is_cause and not row.suspected:
            row.suspected = True
            for earlier in row.numbers:  # they say nothing of the others' chance
                self._note(earlier, _SAYS_NOTHING)
        self._note(number, _SAYS_NOTHING if is_cause else _REFUSED)
        if not is_cause and not self._says_nothing_of_others(row, is_alone=is_alone):
            return attempt
        return attempt._replace(verdict=attempt.verdict._replace(scope=Scope.ROW, wait_s=None))

    def _says_nothing_of_others(self, row: _Row, *, is_alone: bool) -> bool:
        """Whether the latest refusal of a row is no sign of a limit or an outage, though it may not be bad.

        Beside others in flight: refused again, while most new rows are not. Answers may take too long to contradict it.
        """
        if is_alone:
            return row.contradicted + row.at_end > 0 and not self._odds.is_outage
        if len(row.numbers) == 1 or self._is_at_end:
            return False
        refused = sum(self._ring[number % _RING] == _REFUSED for number in self._fresh)
        return refused < _LIMIT_SHARE * len(self._fresh)

    def _is_suspect(self, row: _Row) -> bool:
        count, log_chance = self._evidence(row)
        if not count:
            return False
        if log_chance <= _SUSPECTED:
            return True
        if not row.contradicted or self._odds.is_outage:
            return False
        return self._odds.of_row(row.contradicted) > (_BAD_AT_THE_END if self._is_at_end else _BAD)

    def _evidence(self, row: _Row) -> tuple[int, float]:
        """How many refusals of a row count, and the logarithm of the chance that explains them."""
        if self._odds.is_outage:
            return row.contradicted, row.log_chance
        return row.contradicted + row.at_end, row.log_chance + row.log_chance_at_end

    @property
    def _is_at_end(self) -> bool:
        """Whether only rows that failed are sent any more."""
        return self._sent - self._latest_fresh > _NEIGHBOURS

    def _is_alone(self) -> bool:
        """Whether nothing is in flight that may yet contradict a refusal."""
        return _IN_FLIGHT not in self._ring_between(max(0, self._sent - _MAX_DISTANCE), self._sent)

    def _look_at_all(self) -> None:
        """Bring what counts of the rows refused since the latest answer up to date: they may be in long backoffs."""
        self._answered_since_look = False
        for key, number in self._odds.refused_since_answer():
            if (row := self._rows.get(key)) is not None:
                self._look_again(row)
                self._odds.add_refusal(key, number, row.contradicted)

    def _look_again(self, row: _Row) -> None:
        """Count the refusals of a row that are contradicted by now; answers may take long."""
        before, left = row.contradicted, []
        counts_at_end = not self._odds.is_outage and (before > 0 or self._odds.has_bad_rows)
        for number, following in row.open:
            after = self._ring_between(number + 1, min(following, number + _MAX_DISTANCE))
            if _ANSWERED in after:
                row.contradicted += 1
                row.log_chance += log(self._share_refused(row, number))
            elif counts_at_end and _IN_FLIGHT not in after and number > self._latest_answered:
                row.at_end += 1
                row.log_chance_at_end += log(self._odds.background)
            else:
                left.append((number, following))
        row.open = left[-_MAX_OPEN:]
        if row.contradicted != before:
            self._odds.move_row(before, row.contradicted)

    def _ring_between(self, first: int, end: int) -> bytearray:
        """The states of the requests with the numbers from `first` up to `end`, as far as they are remembered."""
        first = max(first, self._sent - _RING)
        if first >= end:
            return bytearray()
        start, stop = first % _RING, end % _RING
        return self._ring[start:stop] if start < stop else self._ring[start:] + self._ring[:stop]

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

    def _forget(self, key: Key) -> None:
        if (row := self._rows.pop(key, None)) is not None:
            self._odds.move_row(row.contradicted, None)
        self._odds.remove_refusal(key)
