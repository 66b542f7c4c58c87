"""Malformed rows of every format: each is one invalid row that names its field and the way out; none stops the run."""
# ruff: noqa: E501 (a row and its sentence on one line)

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.job import Job, conversation

UNREADABLE: list[tuple[str | bytes, str]] = [
    ('{"id": "x", ', "the line is not JSON: expecting property name enclosed in double quotes at column 13"),
    ("[]", "the line is [], a list. It takes an object."),
    ("7", "the line is 7, a number. It takes an object."),
    ("null", "the line is null. It takes an object."),
    ('"text"', 'the line is "text", text. It takes an object.'),
    ('{"a": 1, "a": 2}', "the line has the key `a` twice in one object. Leave one out."),
    (
        "{'a': 1}",
        "the line is not JSON: expecting property name enclosed in double quotes at column 2. It is written as Python shows a value (pandas' to_csv does so): write it with json.dumps.",
    ),
    ('{"a": 1}}', "the line is not JSON: extra data at column 9"),
    ('{"a": [1, 2}', "the line is not JSON: expecting ',' delimiter at column 12"),
    (b'{"a": "\xff"}', "the line is not UTF-8: byte 8 is 0xff"),
    ('{"a": ' + "[" * 201 + "]" * 201 + "}", "the line is nested more than 200 deep"),
]
MALFORMED: dict[str, list[tuple[str, str]]] = {
    "messages": [
        ("{}", "`messages` is missing. There is no column."),
        (
            '{"messages": null}',
            '`messages` is null. It takes a list of messages: [{"role": "user", "content": "..."}].',
        ),
        ('{"messages": ""}', "`messages` is empty"),
        (
            '{"messages": "Hi"}',
            "`messages` is not JSON: expecting value at column 1. `input.format: prompt` with `input.column: messages`"
            " sends text as it is.",
        ),
        ('{"messages": "[{"}', "`messages` is not JSON: expecting property name enclosed in double quotes at column 3"),
        (
            '{"messages": 7}',
            '`messages` is 7, a number. It takes a list of messages: [{"role": "user", "content": "..."}].',
        ),
        (
            '{"messages": {}}',
            '`messages` is {}, an object. It takes a list of messages: [{"role": "user", "content": "..."}].',
        ),
        ('{"messages": []}', "`messages` is empty"),
        ('{"messages": ["Hi"]}', '`messages[0]` is "Hi", text. It takes an object with role and content.'),
        ('{"messages": [null]}', "`messages[0]` is null. It takes an object with role and content."),
        ('{"messages": [{}]}', "`messages[0].role` is missing. It takes system, developer, user, assistant or tool."),
        (
            '{"messages": [{"content": "Hi"}]}',
            "`messages[0].role` is missing. It takes system, developer, user, assistant or tool.",
        ),
        (
            '{"messages": [{"role": null, "content": "Hi"}]}',
            "`messages[0].role` is null. It takes system, developer, user, assistant or tool.",
        ),
        (
            '{"messages": [{"role": "human", "content": "Hi"}]}',
            '`messages[0].role` is "human", text. It takes system, developer, user, assistant or tool.',
        ),
        ('{"messages": [{"role": "user"}]}', "`messages[0].content` is missing. It takes text or a list of parts."),
        (
            '{"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": null}]}',
            "`messages[1].content` is null. It takes text or a list of parts.",
        ),
        (
            '{"messages": [{"role": "user", "content": 7}]}',
            "`messages[0].content` is 7, a number. It takes text or a list of parts.",
        ),
        (
            '{"messages": [{"role": "user", "content": []}]}',
            "`messages[0].content` is an empty list. It takes text or a list of parts.",
        ),
        (
            '{"messages": [{"role": "user", "content": ["Hi"]}]}',
            '`messages[0].content` holds "Hi", text. Each part takes an object.',
        ),
        (
            '{"messages": [{"role": "user", "content": [null]}]}',
            "`messages[0].content` holds null. Each part takes an object.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}',
            "`messages` ends with an assistant message: nothing to answer. `input.trailing_assistant: drop` cuts it off and keeps it in the column `reference`; `prefill` sends it as it stands.",
        ),
        (
            '{"messages": [{"role": "assistant", "content": null}]}',
            "`messages[0].content` is null. It takes text or a list of parts.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi", "n": NaN}]}',
            "`messages[0].n` is not a number, which JSON has no number for.",
        ),
    ],
    "prompt": [
        ("{}", "`prompt` is missing. There is no column."),
        ('{"prompt": null}', "`prompt` is null. It takes text."),
        ('{"prompt": ""}', "`prompt` is empty"),
        ('{"prompt": " \\n"}', "`prompt` is empty"),
        ('{"prompt": 7}', "`prompt` is 7, a number. It takes text."),
        ('{"prompt": true}', "`prompt` is true. It takes text."),
        (
            '{"prompt": ["Hi"]}',
            '`prompt` is ["Hi"], a list. It takes text. `input.format: turns` with `input.column: prompt` plays a list of texts one by one.',
        ),
        (
            '{"prompt": [{"role": "user", "content": "Hi"}]}',
            '`prompt` is [{"role":"user","content":"Hi"}], a list. It takes text. `input.format: messages` with `input.column: prompt` reads a list of messages.',
        ),
        ('{"prompt": {"a": 1}}', '`prompt` is {"a":1}, an object. It takes text.'),
        ('{"Prompt": "Hi"}', "`prompt` is missing. There is `Prompt`."),
        ('{"prompt": "\\t\\t"}', "`prompt` is empty"),
        ('{"prompt": -0.5}', "`prompt` is -0.5, a number. It takes text."),
        ('{"prompt": []}', "`prompt` is [], a list. It takes text."),
    ],
    "request": [
        ("{}", "`messages` is missing. There is no column."),
        (
            '{"messages": null}',
            '`messages` is null. It takes a list of messages: [{"role": "user", "content": "..."}].',
        ),
        ('{"messages": []}', "`messages` is empty"),
        ('{"messages": [{"role": "user"}]}', "`messages[0].content` is missing. It takes text or a list of parts."),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "temperature": "hot"}',
            '`temperature` is "hot", text. It takes a number.',
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "temperature": []}',
            "`temperature` is [], a list. It takes a number.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1.5}',
            "`max_tokens` is 1.5, a number. It takes a whole number.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": "many"}',
            '`max_tokens` is "many", text. It takes a whole number.',
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "stream": true}',
            "`stream` is true. Leave it out: `endpoint.stream` is for all rows.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "n": 2}',
            "`n` is 2, a number. It takes 1: repeat the row under another id for more completions.",
        ),
        ('{"messages": [{"role": "user", "content": "Hi"}], "model": 7}', "`model` is 7, a number. It takes text."),
        ('{"messages": [{"role": "user", "content": "Hi"}], "model": []}', "`model` is [], a list. It takes text."),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "tools": "{"}',
            "`tools` is not JSON: expecting property name enclosed in double quotes at column 2",
        ),
        ('{"messages": [{"role": "user", "content": "Hi"}], "tools": 7}', "`tools` is 7, a number. It takes a list."),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "response_format": "json"}',
            "`response_format` is not JSON: expecting value at column 1",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "response_format": []}',
            "`response_format` is [], a list. It takes an object.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "stop": 7}',
            "`stop` is 7, a number. It takes text or a list.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "parallel_tool_calls": "maybe"}',
            '`parallel_tool_calls` is "maybe", text. It takes true or false.',
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "logit_bias": [1]}',
            "`logit_bias` is [1], a list. It takes an object.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "seed": 1.5}',
            "`seed` is 1.5, a number. It takes a whole number.",
        ),
        (
            '{"messages": [{"role": "user", "content": "Hi"}], "top_p": Infinity}',
            "`top_p` is infinite, which JSON has no number for.",
        ),
    ],
    "openai-batch": [
        ("{}", "`custom_id` is missing. There is no column."),
        ('{"custom_id": "a1"}', "`body` is missing. There is `custom_id`."),
        ('{"custom_id": "a2", "body": null}', "`body` is null. It takes an object with messages."),
        ('{"custom_id": "a3", "body": 7}', "`body` is 7, a number. It takes an object with messages."),
        (
            '{"custom_id": "a4", "body": "{"}',
            "`body` is not JSON: expecting property name enclosed in double quotes at column 2",
        ),
        ('{"custom_id": "a5", "body": "[]"}', "`body` is [], a list. It takes an object with messages."),
        ('{"custom_id": "a6", "body": []}', "`body` is [], a list. It takes an object with messages."),
        ('{"custom_id": "a7", "body": {}}', "`body.messages` is missing. There is no column."),
        (
            '{"custom_id": "a8", "body": {"messages": null}}',
            '`body.messages` is null. It takes a list of messages: [{"role": "user", "content": "..."}].',
        ),
        ('{"custom_id": "a9", "body": {"messages": []}}', "`body.messages` is empty"),
        (
            '{"custom_id": "a10", "body": {"messages": "Hi"}}',
            '`body.messages` is "Hi", text. It takes a list of messages: [{"role": "user", "content": "..."}].',
        ),
        (
            '{"custom_id": "a11", "body": {"messages": [{"role": "x", "content": "y"}]}}',
            '`body.messages[0].role` is "x", text. It takes system, developer, user, assistant or tool.',
        ),
        (
            '{"custom_id": "a12", "body": {"messages": [{"role": "user"}]}}',
            "`body.messages[0].content` is missing. It takes text or a list of parts.",
        ),
        (
            '{"custom_id": "a13", "body": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x"}]}}',
            "`body.messages` ends with an assistant message: nothing to answer. `input.trailing_assistant: drop` cuts it off and keeps it in the column `reference`; `prefill` sends it as it stands.",
        ),
        (
            '{"custom_id": "a14", "body": {"messages": [{"role": "user", "content": "Hi"}], "stream": true}}',
            "`body.stream` is true. Leave it out: `endpoint.stream` is for all rows.",
        ),
        (
            '{"custom_id": "a15", "body": {"messages": [{"role": "user", "content": "Hi"}], "n": 3}}',
            "`body.n` is 3, a number. It takes 1: repeat the row under another id for more completions.",
        ),
        (
            '{"custom_id": "a16", "body": {"messages": [{"role": "user", "content": "Hi"}], "model": 7}}',
            "`body.model` is 7, a number. It takes a model's name.",
        ),
        (
            '{"custom_id": "a17", "body": {"messages": [{"role": "user", "content": "Hi"}], "temperature": NaN}}',
            "`body.temperature` is not a number, which JSON has no number for.",
        ),
        (
            '{"custom_id": "a18", "url": "/v1/embeddings", "body": {"messages": [{"role": "user", "content": "Hi"}]}}',
            '`url` is "/v1/embeddings", text. It takes /v1/chat/completions.',
        ),
        ('{"body": {"messages": [{"role": "user", "content": "Hi"}]}}', "`custom_id` is missing. There is `body`."),
        (
            '{"custom_id": null, "body": {"messages": [{"role": "user", "content": "Hi"}]}}',
            "`custom_id` is null. It takes text or a whole number.",
        ),
        (
            '{"custom_id": "", "body": {"messages": [{"role": "user", "content": "Hi"}]}}',
            "`custom_id` is empty. It takes text or a whole number.",
        ),
        (
            '{"custom_id": 1.5, "body": {"messages": [{"role": "user", "content": "Hi"}]}}',
            "`custom_id` is 1.5, a number. It takes text or a whole number.",
        ),
        (
            '{"custom_id": "a1", "body": {"messages": [{"role": "user", "content": "Hi"}]}}',
            'duplicate id "a1", first used at in.jsonl:13',
        ),
    ],
    "sharegpt": [
        ("{}", "`conversations` is missing. There is no column."),
        ('{"conversations": null}', "`conversations` is null. It takes a list of {from, value}."),
        ('{"conversations": ""}', "`conversations` is empty"),
        (
            '{"conversations": "[{"}',
            "`conversations` is not JSON: expecting property name enclosed in double quotes at column 3",
        ),
        ('{"conversations": 7}', "`conversations` is 7, a number. It takes a list of {from, value}."),
        ('{"conversations": {}}', "`conversations` is {}, an object. It takes a list of {from, value}."),
        ('{"conversations": []}', "`conversations` is empty"),
        ('{"conversations": ["Hi"]}', '`conversations[0]` is "Hi", text. It takes an object with from and value.'),
        ('{"conversations": [null]}', "`conversations[0]` is null. It takes an object with from and value."),
        (
            '{"conversations": [{}]}',
            "`conversations[0].from` is missing. It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function).",
        ),
        (
            '{"conversations": [{"value": "Hi"}]}',
            "`conversations[0].from` is missing. It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function).",
        ),
        (
            '{"conversations": [{"from": null, "value": "Hi"}]}',
            "`conversations[0].from` is null. It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function).",
        ),
        (
            '{"conversations": [{"from": "alien", "value": "Hi"}]}',
            '`conversations[0].from` is "alien", text. It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function).',
        ),
        (
            '{"conversations": [{"from": 7, "value": "Hi"}]}',
            "`conversations[0].from` is 7, a number. It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function).",
        ),
        ('{"conversations": [{"from": "human"}]}', "`conversations[0].value` is missing. It takes text."),
        ('{"conversations": [{"from": "human", "value": null}]}', "`conversations[0].value` is null. It takes text."),
        (
            '{"conversations": [{"from": "human", "value": 7}]}',
            "`conversations[0].value` is 7, a number. It takes text.",
        ),
        (
            '{"conversations": [{"from": "human", "value": ["Hi"]}]}',
            '`conversations[0].value` is ["Hi"], a list. It takes text.',
        ),
        (
            '{"conversations": [{"from": "function_call", "value": "x"}]}',
            '`conversations[0].value` is not JSON: expecting value at column 1. A function_call holds {"name": ..., "arguments": {...}}, or a list of these.',
        ),
        (
            '{"conversations": [{"from": "function_call", "value": "{}"}]}',
            '`conversations[0].value` is "{}", text. A function_call holds {"name": ..., "arguments": {...}}, or a list of these.',
        ),
        (
            '{"conversations": [{"from": "function_call", "value": "[{\\"name\\": 7}]"}]}',
            '`conversations[0].value` is "[{"name": 7}]", text. A function_call holds {"name": ..., "arguments": {...}}, or a list of these.',
        ),
        (
            '{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}',
            "`conversations` ends with an assistant message: nothing to answer. `input.trailing_assistant: drop` cuts it off and keeps it in the column `reference`; `prefill` sends it as it stands.",
        ),
        (
            '{"conversations": [{"from": "human", "value": "Hi"}], "tools": "{"}',
            "`tools` is not JSON: expecting property name enclosed in double quotes at column 2",
        ),
        (
            '{"conversations": [{"from": "human", "value": "Hi"}], "tools": 7}',
            "`tools` is 7, a number. It takes a list.",
        ),
        (
            '{"conversations": [{"from": "human", "value": "Hi"}], "system": 7}',
            "`system` is 7, a number. It takes text.",
        ),
    ],
}

GOOD: dict[str, dict[str, Any]] = {
    "messages": {"messages": conversation("Hi")},
    "prompt": {"prompt": "Hi"},
    "request": {"messages": conversation("Hi"), "temperature": 1},
    "openai-batch": {"custom_id": "good", "body": {"messages": conversation("Hi")}},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}]},
}


@pytest.mark.parametrize("form", MALFORMED)
def test_malformed_rows(job: Job, form: str) -> None:
    """File, line and field of each, in the journal, in the output, and by `validate`; the good row behind is sent."""
    rows = [*UNREADABLE, *MALFORMED[form]]
    assert len(rows) >= 20
    lines = [line if isinstance(line, bytes) else line.encode() for line, _ in rows]
    job.input.write_bytes(b"\n".join([*lines, json.dumps(GOOD[form]).encode()]) + b"\n")
    job.write(input__format=form, input__id=None)
    assert job.run().code == 3
    *invalid, good = job.table()
    assert good["status"] == "answered"
    assert [(row["status"], row["error"]) for row in invalid] == [("invalid", sentence) for _, sentence in rows]
    records = [record for record in job.journal() if record["kind"] == "row"]
    places = {record["place"]: record["error"] for record in records if record["status"] == "invalid"}
    assert places == {f"in.jsonl:{number}": sentence for number, (_, sentence) in enumerate(rows, 1)}
    checked = job.run("validate", "job.yaml")
    assert checked.code == 2
    assert f"in.jsonl:1: {rows[0][1]}" in " ".join(checked.out.split())
