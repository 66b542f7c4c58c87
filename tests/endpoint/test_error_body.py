"""The error in a response is read in every shape that is in use."""

from __future__ import annotations

from typing import Any

import pytest

from batchchat.endpoint.error_body import read_error


@pytest.mark.parametrize(
    ("payload", "message", "codes", "status"),
    [
        ({"error": "text"}, "text", set(), None),
        ({"detail": "text"}, "text", set(), None),
        ({"detail": {"error": "text"}}, "text", set(), None),
        ({"detail": {"error": {"message": "text", "code": "C"}}}, "text", {"c"}, None),
        ({"error": {"message": "text", "type": "T", "code": 404}}, "text", {"t"}, 404),
        ({"error": {"message": "text", "code": "X", "detail": {"more": 1}}}, "text", {"x"}, None),
        ({"message": "outer", "error": {"message": "inner", "code": "X"}}, "inner", {"x"}, None),
        ({"error": "Not Found", "message": "no such path", "status": 404}, "no such path", set(), 404),
        ({"error": {"msg": "text", "code": "99"}}, "text", {"99"}, None),
        ({"error": "", "detail": "text"}, "text", set(), None),
        (
            {"detail": [{"loc": ["body", "n"], "msg": "too big"}, {"msg": "b"}, "c"]},
            "body.n: too big; b; c",
            set(),
            None,
        ),
        ({"detail": [{"loc": 5, "msg": "a"}, {"loc": "body", "msg": "b"}]}, "a; b", set(), None),
        ({"error": {"code": 429}}, "the body", set(), 429),
        (None, "the body", set(), None),
        ([1], "1", set(), None),
    ],
)
def test_an_error_is_read_in_any_shape(payload: Any, message: str, codes: set[str], status: int | None) -> None:
    """Message, codes and status are found in every shape that is in use; else the body's beginning is the message."""
    error = read_error(payload, b"the  body")
    assert (error.message, error.codes, error.status) == (message, frozenset(codes), status)
