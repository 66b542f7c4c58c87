"""The beginnings of a conversation."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchchat.policy.prefixes import BLOCK_CHARS, MAX_PREFIXES, prefix_hashes

SYSTEM = {"role": "system", "content": "Answer in one word."}


def hashes(*messages: dict[str, Any], model: str = "m") -> tuple[int, ...]:
    return prefix_hashes(model, messages)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_one_ends_with_each_message() -> None:
    first, second = hashes(SYSTEM, user("a")), hashes(SYSTEM, user("b"))
    assert len(first) == 2
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_earlier_turns_are_a_beginning_of_later_ones() -> None:
    turn = hashes(user("a"))
    later = hashes(user("a"), {"role": "assistant", "content": "x"}, user("b"))
    assert later[: len(turn)] == turn


def test_a_long_message_has_one_for_each_block() -> None:
    context = "x" * (3 * BLOCK_CHARS)
    first, second = hashes(user(context + "one question")), hashes(user(context + "another question"))
    assert len(first) == 4
    assert first[:3] == second[:3]
    assert first[3] != second[3]


def test_no_more_are_told_apart_than_a_bound() -> None:
    assert len(hashes(user("x" * (BLOCK_CHARS * MAX_PREFIXES * 2)), user("y"))) == MAX_PREFIXES
    assert len(hashes(*[user("x")] * (MAX_PREFIXES * 2))) == MAX_PREFIXES


def test_a_model_has_a_cache_of_its_own() -> None:
    assert hashes(SYSTEM, model="another") != hashes(SYSTEM)


def test_what_is_no_text_counts() -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}
    other = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/b.png"}}]}
    assert hashes(image) != hashes(other)
    assert hashes({"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}) != hashes(
        {"role": "assistant", "content": None, "tool_calls": [{"id": "2"}]}
    )
    assert hashes({"role": "user", "content": "a", "name": "x"}) != hashes(user("a"))


def test_they_are_the_same_in_every_process() -> None:
    """Workers and shards give one beginning to one server, without a word between them."""
    assert hashes(SYSTEM, user("\ud800")) == (8343962503259824158, 9773371163508428398)


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=8)), min_size=1, max_size=6))
def test_no_beginning_comes_twice(turns: list[tuple[str, str]]) -> None:
    result = hashes(*({"role": role, "content": text} for role, text in turns))
    assert len(set(result)) == len(result) == len(turns)
