"""Which part of a request has changed is read off its record and its fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import MaxUsage, Request
from batchchat.core.conversation import Key, Message, Row
from batchchat.core.record import RowRecord
from batchchat.core.response_format import ResponseFormat
from batchchat.endpoint.wire import compose
from batchchat.execution.changed_parts import PARTS, changed_parts
from batchchat.script.checked import CheckedScript, Checking
from batchchat.script.expectation import Expectation
from batchchat.script.single import SingleMessage, single_message
from batchchat.script.turns import Turns, identity_of


def script(text: str, model: str, params: dict[str, Any], turns: Sequence[Message] = ()) -> SingleMessage:
    row = Row(Key("a"), 0, "f:1", [{"role": "user", "content": text}], turns=tuple(turns))
    return single_message(row, model=model, params=params, system=None, compose=compose)


def record_of(text: str, model: str, params: dict[str, Any]) -> RowRecord:
    sent = script(text, model, params)
    return {"messages": sent.request.messages, "model": model, "fp": f"{sent.identity:016x}"}


PART = st.tuples(st.sampled_from("xy"), st.sampled_from("mn"), st.sampled_from([{}, {"seed": 1}, {"seed": None}]))


@given(PART, PART)
def test_each_part_that_differs_is_named(before: tuple[str, str, Any], after: tuple[str, str, Any]) -> None:
    """Those and no others, in the order in which they are told."""
    expected = [name for name, old, new in zip(PARTS[:3], before, after, strict=True) if old != new]
    assert changed_parts(record_of(*before), script(*after)) == expected


TURNS = st.lists(st.sampled_from("xyz"), max_size=3)


@given(PART, PART, TURNS, TURNS)
def test_a_conversation_of_turns_is_compared_without_its_replies(
    before: tuple[str, str, Any], after: tuple[str, str, Any], old: list[str], new: list[str]
) -> None:
    """Whatever was replied, and however many turns there were before and are now."""
    sent = script(*before).request
    old_turns, new_turns = ([{"role": "user", "content": text} for text in texts] for texts in (old, new))
    messages = [*sent.messages]
    for turn in old_turns:
        messages += [{"role": "assistant", "content": "Yes."}, turn]
    identity = identity_of(sent.fingerprint, old_turns)
    record: RowRecord = {"messages": messages, "model": sent.model, "fp": f"{identity:016x}"}
    same = (before[0], old) == (after[0], new), before[1] == after[1], before[2] == after[2]
    expected = [name for name, is_same in zip(PARTS[:3], same, strict=True) if not is_same]
    first = script(*after, turns=new_turns)
    assert changed_parts(record, Turns(first, compose, _no_bound, lambda _request, _params: None)) == expected


def _no_bound(_request: Request, _params: Any, _replies: int) -> MaxUsage:
    return MaxUsage()


def test_what_is_expected_may_have_changed() -> None:
    """Which schema an answer was checked with is not recorded: then it may be the params as well."""
    plain = script("x", "m", {})

    def expecting(schema: dict[str, Any], inner: SingleMessage = plain) -> CheckedScript:
        expectation = Expectation(schema, None)
        form = ResponseFormat.JSON_SCHEMA
        return CheckedScript(
            inner, Checking(expectation, schema, 0, compose, lambda _model, _endpoint: form, falls_back=True)
        )

    one, another = expecting({}), expecting({"type": "object"})
    record: RowRecord = {**record_of("x", "m", {}), "fp": f"{one.identity:016x}"}
    assert changed_parts(record, one) == []
    assert changed_parts(record, expecting({}, script("y", "m", {}))) == ["conversation"]
    assert changed_parts(record, another) == ["params or expect"]
    assert changed_parts(record_of("x", "m", {}), one) == ["expect"]
    assert changed_parts(record, plain) == ["params"]
