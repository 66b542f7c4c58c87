"""The parameters of a row's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.bad import Bad
from batchchat.sources.row_params import RowParams, params_of_columns, parse_params_column, read_field


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ({}, None)),
        ({}, ({}, None)),
        ({"seed": 1, "n": 1, "stream": False}, ({"seed": 1, "n": 1, "stream": False}, None)),
        ({"model": "m", "tools": []}, ({"tools": []}, "m")),
        ({"model": None, "n": None}, ({"n": None}, None)),
        ('{"seed":1}', ({"seed": 1}, None)),
        ("x", "`p` is not JSON: expecting value at column 1"),
        ([1], "`p` is [1], a list. It takes an object of parameters."),
        ("[1]", "`p` is [1], a list. It takes an object of parameters."),
        ({"messages": []}, "`p.messages` is not allowed there: the conversation has its own column."),
        ({"stream": True}, "`p.stream` is true. Leave it out: `endpoint.stream` is for all rows."),
        ({"stream": "yes"}, '`p.stream` is "yes", text. Leave it out: `endpoint.stream` is for all rows.'),
        ({"n": 0}, "`p.n` is 0, a number. It takes 1: repeat the row under another id for more completions."),
        ({"n": True}, "`p.n` is true. It takes 1: repeat the row under another id for more completions."),
        ({"top_p": float("inf")}, "`p.top_p` is infinite, which JSON has no number for."),
        ({"a": [0.5, {"b": float("nan")}]}, "`p.a[1].b` is not a number, which JSON has no number for."),
        ({"a": [0.5, {"b": 1e300}]}, ({"a": [0.5, {"b": 1e300}]}, None)),
        ("", ({}, None)),
        ({"system": "s", "seed": 1}, ({"seed": 1}, None, "s")),
        ({"model": ""}, '`p.model` is "", text. It takes a model\'s name.'),
    ],
)
def test_a_rows_own_parameters(value: Any, expected: Any) -> None:
    """An object, as JSON text too, or nothing; its model is taken out."""
    own = parse_params_column(value, "p")
    if isinstance(expected, str):
        assert isinstance(own, Bad)
        assert own.sentence == expected
    else:
        assert own == RowParams(*expected)


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("temperature", "0.7", 0.7),
        ("temperature", "1", 1),
        ("temperature", 0, 0),
        ("temperature", "", None),
        ("temperature", None, None),
        ("max_tokens", "512", 512),
        ("max_tokens", "512.0", 512),
        ("max_tokens", 512.0, 512),
        ("seed", 10**30, 10**30),
        ("parallel_tool_calls", "False", False),
        ("parallel_tool_calls", True, True),
        ("stop", "###", "###"),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("stop", "[end", "[end"),
        ("stop", "{}", "{}"),
        ("tool_choice", "required", "required"),
        ("tool_choice", '{"type": "function"}', {"type": "function"}),
        ("response_format", '{"type": "json_object"}', {"type": "json_object"}),
        ("response_format", "null", None),
        ("tools", json.dumps([TOOL]), [TOOL]),
        ("tools", '[{"name": "f"}]', [TOOL]),
        ("tools", [TOOL, {"name": "g", "input_schema": {}}], [TOOL, {"name": "g", "input_schema": {}}]),
        ("model", "m", "m"),
        ("vendor", '{"a": 1}', {"a": 1}),
        ("vendor", "{a", "{a"),
        ("vendor", "7", "7"),
        ("vendor", 7, 7),
    ],
)
def test_a_column_is_read_as_its_parameter(name: str, value: Any, expected: Any) -> None:
    """Text of CSV and JSON text of Parquet become what the parameter takes; nothing is guessed of other names."""
    result = read_field(name, value)
    assert (result, type(result)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("temperature", "hot", '`temperature` is "hot", text. It takes a number.'),
        ("temperature", True, "`temperature` is true. It takes a number."),
        ("temperature", "nan", '`temperature` is "nan", text. It takes a number.'),
        ("max_tokens", "0.5", '`max_tokens` is "0.5", text. It takes a whole number.'),
        ("max_tokens", 0.5, "`max_tokens` is 0.5, a number. It takes a whole number."),
        ("parallel_tool_calls", "2", '`parallel_tool_calls` is "2", text. It takes true or false.'),
        ("tools", "{", "`tools` is not JSON: expecting property name enclosed in double quotes at column 2"),
        ("tools", {"a": 1}, '`tools` is {"a":1}, an object. It takes a list.'),
        ("response_format", "json", "`response_format` is not JSON: expecting value at column 1"),
        ("tool_choice", 7, "`tool_choice` is 7, a number. It takes text or an object."),
        ("model", 7, "`model` is 7, a number. It takes text."),
        ("tools", '[{"a":1,"a":2}]', "`tools` has the key `[0].a` twice in one object. Leave one out."),
    ],
)
def test_a_column_that_is_no_such_parameter(name: str, value: Any, error: str) -> None:
    """The sentence names column and value."""
    problem = read_field(name, value)
    assert isinstance(problem, Bad)
    assert problem.sentence == error


def test_columns_are_parameters() -> None:
    """Each under its own name; the model and the system message are the row's."""
    columns: dict[str, Any] = {"temperature": "0.5", "tools": None, "model": "m", "system": "s", "other": 1}
    listed = ("temperature", "tools", "seed", "model", "system")
    assert params_of_columns(columns, listed) == RowParams({"temperature": 0.5}, "m", "s")
    for columns, error in (
        ({"n": 2}, "`n` is 2, a number. It takes 1: repeat the row under another id for more completions."),
        ({"stream": "true"}, "`stream` is true. Leave it out: `endpoint.stream` is for all rows."),
        ({"top_p": float("nan")}, "`top_p` is not a number, which JSON has no number for."),
    ):
        problem = params_of_columns(columns, tuple(columns))
        assert isinstance(problem, Bad)
        assert problem.sentence == error


def test_a_parameters_own_column_is_no_object_of_parameters() -> None:
    """Who writes the name of one column without brackets is told how it is meant."""
    problem = parse_params_column(0.5, "temperature")
    assert isinstance(problem, Bad)
    assert problem.sentence.endswith("It takes an object of parameters. `input.params: [temperature]` sends the column"
                                     " itself.")  # fmt: skip


_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["response_format", "logit_bias"]), st.dictionaries(st.text(max_size=3), _json, max_size=3))
def test_json_text_is_its_value(name: str, value: dict[str, Any]) -> None:
    """An object is the same, written as JSON or as it stands."""
    assert read_field(name, json.dumps(value)) == read_field(name, value) == value
