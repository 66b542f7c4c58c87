"""Which waiting row an endpoint is given: rows of one beginning to one server, next to one another; each once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from batchchat.policy.prefix_queue import MAX_WAIT_TAKES, PrefixQueue, SentPrefixes

SYSTEM = 1


def queue(rows: int = 100, size: int = 1 << 20) -> PrefixQueue[str]:
    return PrefixQueue(rows, size)


def put(waiting: PrefixQueue[str], names: Iterable[str]) -> None:
    """Add rows: `a1` is the system message, the context `a` and the question 1."""
    for name in names:
        waiting.add(name, prefixes(name), 1)


def prefixes(name: str) -> tuple[int, ...]:
    return (SYSTEM, 100 + ord(name[0]), 1000 + crc32(name.encode()))


def play(waiting: PrefixQueue[str], *endpoints: str) -> list[tuple[str, str]]:
    """Each takes a row in turn, and answers it before it takes the next."""
    taken = []
    while len(waiting):
        for endpoint in endpoints:
            if (name := waiting.take(endpoint)) is not None:
                waiting.answered(endpoint, prefixes(name))
                taken.append((endpoint, name))
    return taken


def changes(names: Iterable[str]) -> int:
    """How often the context is another than that of the row before."""
    contexts = [name[0] for name in names]
    return sum(before != after for before, after in pairwise(contexts))


def interleaved(contexts: str, rows: int) -> list[str]:
    return [f"{context}{number}" for number in range(rows) for context in contexts]


def test_one_endpoint_is_given_rows_of_one_beginning_in_succession() -> None:
    waiting = queue()
    put(waiting, interleaved("abcd", 5))
    names = [name for _, name in play(waiting, "one")]
    assert changes(names) == 3
    assert names[:5] == ["a0", "a1", "a2", "a3", "a4"]


def test_rows_of_one_beginning_go_to_one_endpoint() -> None:
    waiting = queue()
    put(waiting, interleaved("abcd", 5))
    endpoints = defaultdict(set)
    for endpoint, name in play(waiting, "one", "two"):
        endpoints[name[0]].add(endpoint)
    assert sorted(len(names) for names in endpoints.values()) == [1, 1, 1, 1]


def test_rows_without_an_answer_yet_begin_different_beginnings() -> None:
    """Several slots that are free at once do not all read the same beginning."""
    waiting = queue()
    put(waiting, [f"{context}{number}" for context in "abcd" for number in range(5)])
    assert {str(waiting.take("one"))[0] for _ in range(4)} == set("abcd")


def test_a_free_slot_goes_on_where_its_row_began() -> None:
    waiting = queue()
    put(waiting, interleaved("ab", 5))
    assert [waiting.take("one"), waiting.take("one")] == ["a0", "b0"]
    waiting.answered("one", prefixes("b0"))
    assert waiting.take("one") == "b1"
    waiting.answered("one", prefixes("a0"))
    assert waiting.take("one") == "a1"


def test_a_beginning_that_comes_again_goes_where_it_was() -> None:
    waiting = queue()
    put(waiting, interleaved("ab", 3))
    endpoint_of = {name[0]: endpoint for endpoint, name in play(waiting, "one", "two")}
    put(waiting, ["a8", "b8"])
    assert waiting.take(endpoint_of["b"]) == "b8"
    assert waiting.take(endpoint_of["a"]) == "a8"


def test_an_endpoint_is_never_idle_for_the_sake_of_a_cache() -> None:
    """Where all that waits belongs to others, it begins what would come last there."""
    waiting = queue()
    put(waiting, interleaved("a", 9))
    assert waiting.take("one") == "a0"
    assert waiting.take("two") == "a1"
    put(waiting, ["b0", "b1"])
    assert waiting.take("one") == "b0"
    waiting.answered("two", prefixes("a1"))
    assert waiting.take("two") == "a2"
    while len(waiting):
        assert waiting.take("two") is not None


def test_one_beginning_of_all_rows_decides_nothing() -> None:
    """All rows have the same system message and a question of their own: both endpoints get as many as they take."""
    waiting = queue()
    for number in range(40):
        waiting.add(str(number), (SYSTEM, 100 + number), 1)
    for number in range(40):
        assert waiting.take("one" if number % 2 else "two") is not None


def test_an_endpoint_that_has_gone_has_no_beginning_any_more() -> None:
    waiting = queue()
    put(waiting, interleaved("ab", 4))
    for endpoint in ("one", "two"):
        waiting.answered(endpoint, prefixes(str(waiting.take(endpoint))))
    waiting.forget("two")
    assert sorted(str(waiting.take("one")) for _ in range(len(waiting))) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    put(waiting, ["c1"])
    assert waiting.take("three") == "c1"


def test_it_is_full_by_rows_or_by_size() -> None:
    def is_full(*sizes: int) -> bool:
        waiting = queue(rows=2, size=100)
        for number, size in enumerate(sizes):
            waiting.add("", (number,), size)
        return waiting.is_full

    assert [is_full(1), is_full(1, 1), is_full(99), is_full(100)] == [False, True, False, True]
    waiting = queue(rows=2, size=100)
    waiting.add("a", (1,), 100)
    waiting.take("one")
    assert not waiting.is_full


def test_of_the_sent_beginnings_the_latest_are_remembered() -> None:
    sent = SentPrefixes(max_prefixes=3)
    sent.add((1, 2), 1)
    sent.add((1, 3), 2)
    sent.add((4,), 1)
    assert (len(sent), 2 in sent, 1 in sent) == (3, False, True)
    assert sent.longest((1, 2)) == (1, 0b11)
    sent.forget(1)
    assert sent.longest((1, 2)) == (1, 0b10)
    assert 4 not in sent


ROWS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), max_size=120)
TAKES = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), st.booleans()), min_size=1, max_size=40)


@given(ROWS, TAKES, st.integers(1, 12))
def test_each_row_is_given_once_and_none_waits_for_ever(
    rows: list[tuple[str, int]], takes: list[tuple[str, bool]], max_rows: int
) -> None:
    """Whoever takes, whatever is answered: every row once, never none while some wait, and nothing is left behind."""
    waiting: PrefixQueue[int] = PrefixQueue(max_rows, 1 << 20)
    bound = (MAX_WAIT_TAKES + 1) * max_rows + 1
    names = iter(enumerate(rows))
    added_at, given_out, at_end, turn = {}, Counter[int](), False, 0
    while True:
        while not at_end and not waiting.is_full:
            if (row := next(names, None)) is None:
                at_end = True
                break
            number, (context, question) = row
            waiting.add(number, prefixes(f"{context}{question}"), 1)
            added_at[number] = turn
        endpoint, is_answered = takes[turn % len(takes)]
        item = waiting.take(endpoint)
        if item is None:
            break
        given_out[item] += 1
        assert turn - added_at[item] <= bound
        if is_answered:
            context, question = rows[item]
            waiting.answered(endpoint, prefixes(f"{context}{question}"))
        turn += 1
    assert given_out == Counter(range(len(rows)))
    assert not waiting._sharing
    assert not waiting._unsent
