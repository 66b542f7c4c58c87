"""Which waiting row an endpoint is given: rows of one beginning to one server, next to one another; each once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from batchchat.policy.prefix_queue import PrefixQueue, SentPrefixes

SYSTEM = 1


class Queue(PrefixQueue[str]):
    """Rows by name; an endpoint takes what is best for it."""

    def take(self, endpoint: str) -> str | None:
        if (name := self.best(endpoint)) is not None:
            self.sent(endpoint, self.remove(name))
        return name


def queue() -> Queue:
    return Queue(1_000)


def put(waiting: Queue, names: Iterable[str]) -> None:
    """Add rows: `a1` is the system message, the context `a` and the question 1."""
    for name in names:
        waiting.add(name, prefixes(name), 1)


def prefixes(name: str) -> tuple[int, ...]:
    return (SYSTEM, 100 + ord(name[0]), 1000 + crc32(name.encode()))


def play(waiting: Queue, *endpoints: str) -> list[tuple[str, str]]:
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


def test_slots_that_are_free_at_once_each_go_on_with_their_own() -> None:
    waiting = queue()
    put(waiting, interleaved("ab", 5))
    assert [waiting.take("one"), waiting.take("one")] == ["a0", "b0"]
    waiting.answered("one", prefixes("a0"))
    waiting.answered("one", prefixes("b0"))
    assert {waiting.take("one"), waiting.take("one")} == {"a1", "b1"}


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


def test_what_waits_has_a_size() -> None:
    waiting = queue()
    waiting.add("a", (1,), 20)
    waiting.add("b", (2,), 3)
    waiting.remove("a")
    assert (waiting.size, len(waiting)) == (3, 1)


def test_the_holder_is_who_was_sent_the_longest_beginning() -> None:
    waiting = queue()
    waiting.sent("one", prefixes("a1"))
    waiting.sent("two", prefixes("b1"))
    both = ("one", "two")
    assert waiting.holder(both, prefixes("b2")) == "two"
    assert waiting.holder(both, prefixes("c1")) == "one"
    assert waiting.holder(["two"], prefixes("a1")) == "two"
    assert waiting.holder(["three"], prefixes("a1")) is None
    assert waiting.holder(both, (99,)) is None


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
def test_each_row_is_sent_once_and_none_waits_for_ever(
    rows: list[tuple[str, int]], takes: list[tuple[str, bool]], max_rows: int
) -> None:
    """Whoever takes, whatever is answered: every row once, never none while some wait, and nothing is left behind."""
    max_wait = 2 * max_rows
    waiting: PrefixQueue[int] = PrefixQueue(max_wait)
    names = [f"{context}{question}" for context, question in rows]
    added_at: dict[int, int] = {}
    sent = Counter[int]()
    for turn in range(len(names)):
        while len(waiting) < max_rows and len(added_at) < len(names):
            number = len(added_at)
            waiting.add(number, prefixes(names[number]), 1)
            added_at[number] = turn
        endpoint, is_answered = takes[turn % len(takes)]
        item = waiting.best(endpoint)
        assert item is not None
        waiting.sent(endpoint, waiting.remove(item))
        sent[item] += 1
        assert turn - added_at[item] <= max_wait + max_rows
        if is_answered:
            waiting.answered(endpoint, prefixes(names[item]))
    assert sent == Counter(range(len(rows)))
    assert (waiting.best("one"), waiting.size) == (None, 0)
    assert not waiting._sharing
    assert not waiting._unsent
