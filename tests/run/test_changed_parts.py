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
