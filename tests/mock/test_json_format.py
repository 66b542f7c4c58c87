from __future__ import annotations

import json
from typing import Any

import pytest

from batchchat.mock.json_format import schema_in, wanted_schema

SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(SCHEMA),
        f"Answer with JSON that fits this schema:\n```json\n{json.dumps(SCHEMA, indent=2)}\n```\nNothing else.",
        f"Given the data {{a}} and {{'b'}}: {json.dumps(SCHEMA)}",
        [{"type": "text", "text": f"By {json.dumps(SCHEMA)}"}, {"type": "image_url", "image_url": {"url": "x"}}],
    ],
)
def test_a_schema_is_read_out_of_the_words(content: Any) -> None:
    """A schema written out in a message is what the answer fits, with json_object and without a format."""
    messages = [user(content), {"role": "assistant", "content": "{}"}, user("That is not JSON. Again, please.")]
    assert schema_in(messages) == SCHEMA
    assert wanted_schema({"type": "json_object"}, messages) == SCHEMA
    assert wanted_schema(None, messages) == SCHEMA
    assert wanted_schema({"type": "text"}, messages) is None


@pytest.mark.parametrize(
    "content",
    [
        "Why?",
        'Say "type": and no more',
        '{"type": "review", "properties": 3}',
        '{"type": "object"',
        "{" * 5000 + '"type"',
        '{"type": []}',
    ],
)
def test_other_words_are_no_schema(content: str) -> None:
    """Data, broken JSON and prose are answered with prose, and with a small object where JSON is asked for."""
    assert wanted_schema(None, [user(content)]) is None
    schema = wanted_schema({"type": "json_object"}, [user(content)])
    assert schema is not None
    assert schema["type"] == "object"


def test_the_formats_own_schema_wins() -> None:
    """With json_schema, a schema in the conversation has no say."""
    format_ = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}}
    assert wanted_schema(format_, [user(json.dumps(SCHEMA))]) == {"type": "integer"}
