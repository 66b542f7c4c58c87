"""The policies against servers, in virtual time: they converge, they follow, they neither collapse nor hang."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from batchchat.core.attempt import Action, Billed, Quota, Scope, Verdict
from batchchat.core.conversation import ErrorKind
from batchchat.policy.circuit_breaker import CircuitBreaker
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Policy
from batchchat.policy.outage_news import CameBack
from batchchat.policy.rate_limit_headers import RateLimitHeaders
from batchchat.policy.refused_rows import RefusedRows
from batchchat.policy.retry import RowStop
from batchchat.policy.token_bucket import RequestRate, TokenRate
from tests.policy.simulated import VERDICTS, Answer, Run, Server, answered, refused, server_error, simulate, unreached

SEEDS = range(8)


def takes(allowance: Callable[[float], int], latency_s: float, seed: int, **refusal: float) -> Server:
    """A server that takes so many at a time, by the clock, and refuses the others."""
    random = Random(seed)

    def server(now: float, in_flight: int, row: int) -> Answer:
        if in_flight >= allowance(now):
            return refused(**refusal)
        return answered(latency_s * random.uniform(0.5, 1.5))

    return server


def play(
    server: Server, seed: int, *, rows: int = 10**7, until_s: float = 100_000.0, most: int = 200, turn_s: float = 0.0
) -> Run:
    concurrency, outage = Concurrency(most), CircuitBreaker(3600.0, Random(seed))
    run = simulate(
        server,
        [concurrency, RateLimitHeaders(), outage],
        rows=rows,
        workers=most,
        seed=seed,
        until_s=until_s,
        stop=lambda: RowStop(6, 3600.0, was_in_outage=outage.was_in_outage),
        watch=lambda: concurrency.ceiling,
        turn_s=turn_s,
    )
    assert run.failed == []
    return run


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("latency_s", "refused_s"), [(0.4, 0.02), (5.0, 0.15)])
def test_an_allowance_is_found_and_kept(seed: int, latency_s: float, refused_s: float) -> None:
    """40 of 200: over 90 % of what 40 can do from the start on, fewer than 3 % refused."""
    until_s = 100 * latency_s
    run = play(takes(lambda _: 40, latency_s, seed, after_s=refused_s), seed, until_s=until_s)
    assert run.rate(until_s / 4, until_s) > 0.93 * 40 / latency_s
    assert run.refusals() < 0.03


@pytest.mark.parametrize("seed", SEEDS)
def test_an_allowance_that_moves_is_followed(seed: int) -> None:
    """40 -> 10 -> 80: each time at its new height within a few seconds, and fewer than 3 % refused in all."""

    def allowance(now: float) -> int:
        return 40 if now < 40 else 10 if now < 80 else 80

    run = play(takes(allowance, 0.4, seed), seed, until_s=140)
    assert run.rate(20, 40) > 0.93 * 100
    assert run.rate(45, 80) > 0.93 * 25
    assert run.rate(95, 140) > 0.93 * 200
    assert run.refusals() < 0.03
    down = next(at for at, ceiling in run.ceilings if at > 40 and ceiling <= 12)
    up = next(at for at, ceiling in run.ceilings if at > 80 and ceiling >= 78)
    assert down < 42
    assert up < 92


@pytest.mark.parametrize("seed", SEEDS)
def test_an_allowance_is_found_on_a_machine_that_is_too_busy(seed: int) -> None:
    """Answers that are handled 0.4 s late, all at once, free their slots unseen: 40 accepted and 60 refused each time.

    Half of 200, which chance may not go below, would have 66 % refused for ever. It may take minutes to be left.
    """
    run = play(takes(lambda _: 40, 2.0, seed), seed, until_s=400, turn_s=0.4)
    assert run.rate(60, 400) > 0.85 * 40 / 2.0
    assert run.refusals(250) < 0.15
    assert max(ceiling for at, ceiling in run.ceilings if at > 250) < 2 * 40


@pytest.mark.parametrize("allowance", [1, 2, 3, 7, 31, 33, 190, 199])
def test_every_allowance_is_used(allowance: int) -> None:
    """From one in flight to all but one."""
    run = play(takes(lambda _: allowance, 2.0, 1), 1, until_s=300)
    assert run.rate(60, 300) > 0.9 * allowance / 2.0
    assert run.refusals(60) < 0.08


def test_a_server_without_a_limit_gets_all_at_once() -> None:
    """The ceiling is reached in 1.3 seconds, though no answer has come: a short job loses no more than that."""
    run = play(takes(lambda _: 10**9, 5.0, 1), 1, rows=200)
    assert next(at for at, ceiling in run.ceilings if ceiling == 200) < 1.3
    plain = simulate(takes(lambda _: 10**9, 5.0, 1), [Concurrency(200, adaptive=False)], rows=200, workers=200)
    assert max(run.ends) < max(plain.ends) + 1.3


def test_a_server_that_queues_gets_all() -> None:
    """DeepInfra at capacity lets wait: latency grows, nothing is refused, and nothing is cut."""
    run = play(lambda now, in_flight, row: answered(1.0 + max(0, in_flight - 50) * 0.02), 1, rows=5000)
    assert run.most_in_flight == 200
    assert run.ceilings[-1][1] == 200


@pytest.mark.parametrize("seed", SEEDS)
def test_refusals_at_random_do_not_end_at_one(seed: int) -> None:
    """One in fifty costs nothing, one in ten leaves a twentieth of the ceiling or more in use."""
    for share, least in ((0.02, 0.85), (0.1, 0.05)):
        random = Random(seed)

        def server(now: float, in_flight: int, row: int, share: float = share, random: Random = random) -> Answer:
            return refused() if random.random() < share else answered(random.uniform(0.2, 0.6))

        assert play(server, seed, until_s=60).rate(20, 60) > least * 200 / 0.4


@pytest.mark.parametrize("wait_s", [1.0, 5.0, 30.0])
def test_retry_after_is_held_by_all_and_not_asked_for_all_the_time(wait_s: float) -> None:
    """A limit that names a time is not tried again before twenty such times are over."""
    run = play(takes(lambda _: 40, 0.4, 1, wait_s=wait_s), 1, until_s=300)
    assert run.rate(60, 300) > 0.75 * 100
    assert run.refusals() < 0.01


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("way", ["closed port", "503", "500", "502", "429", "all in turn"])
def test_an_outage_fails_no_row(seed: int, way: str) -> None:
    """Ten minutes of it: every row is answered in the end, and few requests were sent meanwhile."""
    ways: dict[str, Answer] = {
        "closed port": unreached(),
        "503": Answer(503, 0.02),
        "500": server_error(),
        "502": server_error(502),
        "429": refused(),
    }
    random, begin, end = Random(seed), 30.0, 630.0

    def server(now: float, in_flight: int, row: int) -> Answer:
        if begin <= now < end:
            turn = int((now - begin) // 120) if way == "all in turn" else 0
            return ways[way] if way in ways else list(ways.values())[turn]
        return answered(random.uniform(0.2, 0.6))

    outage = CircuitBreaker(3600.0, Random(seed))
    run = simulate(
        server,
        [Concurrency(200), RateLimitHeaders(), outage],
        rows=30_000,
        workers=200,
        seed=seed,
        stop=lambda: RowStop(6, 30.0, was_in_outage=outage.was_in_outage),
    )
    assert run.failed == []
    assert len(run.ends) == 30_000
    sent = sum(begin + 0.7 <= at < end for at, _ in run.sends)
    assert sent < 30
    back = outage.news()[-1]
    assert isinstance(back, CameBack)
    assert back.since < begin + 1
    assert end <= back.until < end + 76


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_always_fail_come_to_their_end(seed: int) -> None:
    """Ten rows of a thousand that always give 500: each fails after its six attempts, the others are answered."""
    random = Random(seed)
    poisoned = set(random.sample(range(1000), 10))

    def server(now: float, in_flight: int, row: int) -> Answer:
        return server_error() if row in poisoned else answered(random.uniform(0.2, 0.6))

    outage = CircuitBreaker(3600.0, Random(seed))
    run = simulate(
        server,
        [Concurrency(64), outage],
        rows=1000,
        workers=64,
        stop=by_default(outage),
    )
    assert set(run.failed) == poisoned
    assert len(run.ends) == 990
    assert sum(status == 500 for _, status in run.sends) == 60


def by_default(outage: CircuitBreaker) -> Callable[[], RowStop]:
    """As a job has it by default."""
    return lambda: RowStop(6, 3600.0, 600.0, outage.was_in_outage, 3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("workers", [1, 3])
def test_an_outage_of_a_run_of_few_at_a_time_fails_no_row(workers: int, seed: int) -> None:
    """Half an hour of errors with one request in flight is seen for what it is, and fewer than 150 are sent in it."""

    def server(now: float, in_flight: int, row: int) -> Answer:
        return server_error() if 30 <= now < 1830 else answered(0.4)

    outage = CircuitBreaker(3600.0, Random(seed))
    run = simulate(server, [Concurrency(8), outage], rows=500, workers=workers, seed=seed, stop=by_default(outage))
    assert run.failed == []
    assert len(run.ends) == 500
    assert sum(status == 500 for _, status in run.sends) < 150


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("status", "attempts"), [(500, 6), (502, 3)])
def test_a_last_row_that_always_fails_has_its_attempts_and_no_more(status: int, attempts: int, seed: int) -> None:
    """Nobody can tell it from an outage, but what the user has set is the limit; 502s may be billed."""

    def server(now: float, in_flight: int, row: int) -> Answer:
        return server_error(status) if row == 19 else answered(0.4)

    outage = CircuitBreaker(3600.0, Random(seed))
    run = simulate(server, [Concurrency(8), outage], rows=20, workers=8, seed=seed, stop=by_default(outage))
    assert run.failed == [19]
    assert sum(of_row == status for _, of_row in run.sends) == attempts


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_at_once_ends(seed: int) -> None:
    """Limits, rates, refusals, errors, lost connections, and figures that lie: no row waits for ever."""
    random = Random(seed)

    def server(now: float, in_flight: int, row: int) -> Answer:
        draw = random.random()
        if in_flight > 30 or draw < 0.05:
            return refused(wait_s=random.choice([None, 0.0, 1.0, 1e9]))
        if draw < 0.1:
            return random.choice([server_error(), server_error(502), unreached(), Answer(503, 0.02)])
        lie = Quota(random.choice([None, 0, 10**12]), random.choice([None, 0.0, 60.0, 1e12]), 0, 1e-9)
        return Answer(200, random.uniform(0.01, 3), tokens=random.randrange(5000), quota=lie)

    outage = CircuitBreaker(36_000.0, Random(seed))
    policies: list[Policy] = [Concurrency(100), RequestRate(6000), TokenRate(3_000_000), RateLimitHeaders(), outage]
    run = simulate(server, policies, rows=1500, workers=100, seed=seed, stop=lambda: RowStop(50, 1e9))
    assert len(run.ends) == 1500
    assert run.stopped is None


def test_a_limit_a_minute_is_met_before_the_429() -> None:
    """A server of 600 a minute that says what is left refuses nearly nobody; one in which we keep to it, nobody."""

    class Minute:
        def __init__(self, *, tells: bool) -> None:
            self.left, self.at, self.tells = 600.0, 0.0, tells

        def __call__(self, now: float, in_flight: int, row: int) -> Answer:
            self.left, self.at = min(600.0, self.left + (now - self.at) * 10), now
            if self.left < 1:
                return refused()
            self.left -= 1
            quota = Quota(int(self.left), (600 - self.left) / 10) if self.tells else None
            return Answer(200, 0.5, quota=quota)

    told = simulate(Minute(tells=True), [Concurrency(100), RateLimitHeaders()], rows=3000, workers=100)
    assert told.refusals() < 0.01
    assert max(told.ends) < 330
    kept = simulate(Minute(tells=False), [Concurrency(100), RequestRate(590)], rows=3000, workers=100)
    assert kept.refusals() == 0
    assert max(kept.ends) < 310


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_gateway_before_few_slots_fails_no_row(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A hundred in flight before a server of four slots, whose gateway waits 5 s: one wave is cut off, not three."""
    cut_off = Verdict(Action.RETRY, Scope.ROW, Billed.MAYBE, ErrorKind.GATEWAY_TIMEOUT)
    monkeypatch.setitem(VERDICTS, 504, cut_off)
    free, random = [0.0] * 4, Random(seed)

    def server(now: float, in_flight: int, row: int) -> Answer:
        slot = min(range(4), key=free.__getitem__)
        end = max(now, free[slot]) + random.uniform(1.6, 2.4)
        free[slot] = min(end, max(free[slot], now + 5.0))
        return Answer(504, 5.0) if end > now + 5.0 else answered(end - now)

    outage = CircuitBreaker(3600.0, Random(1))
    run = simulate(
        server,
        [Concurrency(100), outage],
        rows=150,
        workers=100,
        stop=lambda: RowStop(6, 3600.0, max_possibly_billed=3),
    )
    assert run.failed == []
    assert sum(status == 504 for _, status in run.sends) < 130
    assert max(run.ends) < 1.3 * 150 * 2.0 / 4


def with_refused_rows(server: Server, seed: int, *, rows: int, workers: int) -> Run:
    """As a job has it by default, with rows that may be the cause of their own refusals."""
    outage, refused_rows = CircuitBreaker(3600.0, Random(seed)), RefusedRows(6)
    return simulate(
        server,
        [Concurrency(workers), outage],
        rows=rows,
        workers=workers,
        seed=seed,
        stop=lambda: RowStop(6, 3600.0, 600.0, outage.was_in_outage, 3, cause_of_refusals=refused_rows.cause),
        refused_rows=refused_rows,
    )


LIMITS = [
    "one in ten",
    "one in five",
    "8 of 64",
    "10 a second",
    "300 a minute",
    "an outage at the end",
    "and in between",
]


def innocents(limit: str, seed: int, *, rows: int, bad: set[int]) -> Run:
    """A run against a server with a `limit` that meets all, and refuses the rows of `bad` for ever."""
    random, taken, bucket = Random(seed), dict[int, int](), [60.0, 0.0]

    def refuses(now: float, in_flight: int) -> bool:
        match limit:
            case "one in ten":
                return random.random() < 0.1
            case "one in five":
                return random.random() < 0.2
            case "8 of 64":
                return in_flight >= 8
            case "10 a second":
                bucket[:] = [min(60.0, bucket[0] + (now - bucket[1]) * 10), now]
                bucket[0] -= bucket[0] >= 1
                return bucket[0] < 1
            case "300 a minute":
                minute = int(now // 60)
                taken[minute] = taken.get(minute, 0) + 1
                return taken[minute] > 300
            case "an outage at the end":
                return rows / 160 - 1 <= now < 200
            case _:
                return rows / 320 <= now < 200

    def server(now: float, in_flight: int, row: int) -> Answer:
        return refused() if row in bad or refuses(now, in_flight) else answered(random.uniform(0.2, 0.6))

    run = with_refused_rows(server, seed, rows=rows, workers=200 if limit.startswith("one") else 64)
    assert run.stopped is None
    assert set(run.failed) == bad
    assert len(run.ends) == rows - len(bad)
    return run


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("limit", LIMITS)
def test_no_row_fails_for_refusals_that_meet_all(limit: str, seed: int) -> None:
    """Refusals at random, a limit in flight, a rate, a window, and a server that goes away, at last for the last."""
    innocents(limit, seed, rows=1_500, bad=set())


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", LIMITS)
def test_none_of_twenty_thousand_rows_fails_for_refusals_that_meet_all(limit: str, seed: int) -> None:
    """The same at length."""
    innocents(limit, seed, rows=20_000 if limit.startswith("one") else 5_000, bad=set())


@pytest.mark.parametrize("limit", LIMITS)
def test_beside_a_limit_that_meets_all_only_bad_rows_fail(limit: str) -> None:
    """One in fifty is refused for ever."""
    bad = set(Random(1).sample(range(1_000), 20))
    innocents(limit, 1, rows=1_000, bad=bad)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("rows", "workers", "share", "at_random"),
    [(2000, 200, 0.05, 0.0), (2000, 200, 0.05, 0.1), (2000, 16, 0.03, 0.0), (40, 4, 0.05, 0.0)],
)
def test_rows_that_are_always_refused_end_alone(
    rows: int, workers: int, share: float, at_random: float, seed: int
) -> None:
    """All others are answered without delay, the bad ones fail, and no outage is seen: the very last row may be bad.

    Answers of 0.4 s: a bad row is contradicted two or three times, and then only bad ones are left.
    """
    random = Random(seed)
    bad = {*random.sample(range(rows), int(rows * share))} | ({rows - 1} if rows > 40 else set())

    def server(now: float, in_flight: int, row: int) -> Answer:
        is_refused = row in bad or random.random() < at_random
        return refused() if is_refused else answered(random.uniform(0.2, 0.6))

    run = with_refused_rows(server, seed, rows=rows, workers=workers)
    assert run.stopped is None
    assert set(run.failed) == bad
    assert len(run.ends) == rows - len(bad)
    assert max(run.ends) < 2.5 * rows * 0.4 / workers + 5
    assert max(at for at, _ in run.sends) < 400
    if not at_random:
        assert len(run.sends) < rows + 8 * len(bad)


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_that_are_always_refused_lower_no_ceiling_while_long_answers_are_on_their_way(seed: int) -> None:
    """Nothing contradicts their refusals for seconds, and their retries are all that is sent: they are no limit."""

    def play(share: float) -> Run:
        random = Random(seed)
        bad = set(random.sample(range(2_000), int(share * 2_000)))

        def server(now: float, in_flight: int, row: int) -> Answer:
            return refused() if row in bad else answered(random.uniform(4.0, 8.0))

        run = with_refused_rows(server, seed, rows=2_000, workers=200)
        assert set(run.failed) == bad
        return run

    quiet, noisy = (sorted(play(share).ends)[1_800] for share in (0.0, 0.05))
    assert quiet / noisy > 0.9


@pytest.mark.parametrize(("begin", "workers"), [(500, 16), (0, 16), (500, 64)])
def test_a_hundred_bad_rows_in_succession_are_passed(begin: int, workers: int) -> None:
    """An input that is sorted by length: an outage is seen in them, and its probes are new rows, up to a good one."""
    bad = set(range(begin, begin + 100))
    random = Random(1)

    def server(now: float, in_flight: int, row: int) -> Answer:
        return refused() if row in bad else answered(random.uniform(0.2, 0.6))

    run = with_refused_rows(server, 1, rows=1_500, workers=workers)
    assert run.stopped is None
    assert set(run.failed) == bad
    assert len(run.ends) == 1_400
    assert max(run.ends) < 3_600  # that is within `max_outage`
