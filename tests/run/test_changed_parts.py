"""Which part of a request has changed is read off its record and its fingerprint."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Request
from batchchat.core.conversation import Key
from batchchat.core.record import RowRecord
from batchchat.endpoint.wire import compose
from batchchat.run.changed_parts import PARTS, changed_parts
from batchchat.script.turns import identity_of


def request(text: str, model: str, params: dict[str, Any]) -> Request:
    return compose(Key("a"), model, [{"role": "user", "content": text}], params)


PART = st.tuples(st.sampled_from("xy"), st.sampled_from("mn"), st.sampled_from([{}, {"seed": 1}, {"seed": None}]))


@given(PART, PART)
def test_each_part_that_differs_is_named(before: tuple[str, str, Any], after: tuple[str, str, Any]) -> None:
    """Those and no others, in the order in which they are told."""
    sent = request(*before)
    record: RowRecord = {"messages": sent.messages, "model": sent.model, "fp": f"{sent.fingerprint:016x}"}
    expected = [name for name, old, new in zip(PARTS, before, after, strict=True) if old != new]
    assert changed_parts(record, request(*after)) == expected


TURNS = st.lists(st.sampled_from("xyz"), max_size=3)


@given(PART, PART, TURNS, TURNS)
def test_a_conversation_of_turns_is_compared_without_its_replies(
    before: tuple[str, str, Any], after: tuple[str, str, Any], old: list[str], new: list[str]
) -> None:
    """Whatever was replied, and however many turns there were before and are now."""
    sent = request(*before)
    old_turns, new_turns = ([{"role": "user", "content": text} for text in texts] for texts in (old, new))
    messages = [*sent.messages]
    for turn in old_turns:
        messages += [{"role": "assistant", "content": "Yes."}, turn]
    identity = identity_of(sent.fingerprint, old_turns)
    record: RowRecord = {"messages": messages, "model": sent.model, "fp": f"{identity:016x}"}
    same = (before[0], old) == (after[0], new), before[1] == after[1], before[2] == after[2]
    expected = [name for name, is_same in zip(PARTS, same, strict=True) if not is_same]
    assert changed_parts(record, request(*after), new_turns) == expected
