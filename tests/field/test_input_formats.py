"""Rows as people have them: request bodies, chat datasets, files of pandas and of Hugging Face."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, conversation
from tests.field.endpoint import Asked, endpoint, ok

pytestmark = pytest.mark.usefixtures("wide_terminal")

HI = conversation("Hi")
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def answer(_: Asked) -> bytes:
    return ok()


def sent(job: Job, input_rows: list[Any] | None = None, **keys: Any) -> list[dict[str, Any]]:
    """Run the job against an endpoint that answers all; the bodies that it was sent, in the input's order."""
    with endpoint(answer) as server:
        job.write(input_rows, endpoint__base_url=server.url, concurrency=1, **keys)
        ended = job.run()
        assert ended.code == 0, ended.err
        return [asked.body for asked in server.asked]


def notes(text: str) -> list[str]:
    """The notes that a command or run.log has, without the time before them."""
    return re.findall(r"(?m)^(?:\S*Z|) *note +(.*)$", text)


BODIES = [
    {"model": "big", "messages": HI, "max_tokens": 5, "temperature": 0, "response_format": {"type": "json_object"},
     "metadata": {"row": 1}},
    {"messages": HI, "tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False, "tag": "x"},
    {"messages": HI, "system": "You are a pirate."},
]  # fmt: skip


def test_request_bodies_are_read_as_messages(job: Job) -> None:
    """What they ask beside the conversation is not sent, and that is said before the first request, with the key."""
    bodies = sent(job, BODIES, input__id=None)
    assert [set(body) for body in bodies] == [{"model", "messages"}] * 3
    told = job.run("validate", "job.yaml")
    names = ["model", "max_tokens", "temperature", "response_format", "tools", "tool_choice", "parallel_tool_calls",
             "system"]  # fmt: skip
    (note,) = notes(told.out)
    assert note == (
        f"rows have {', '.join(f'`{name}`' for name in names)}, which are not sent. To send them:"
        f" `input.params: [{', '.join(names)}]`, or `input.format: request`."
    )
    log = (job.run_folder / "run.log").read_text()
    assert note in log
    assert log.index(note) < log.index("answered")
    assert {"tools", "temperature", "system"} <= set(job.table()[0])


@pytest.mark.parametrize("keys", [{"input__format": "request"}, {"input__params": [
    "model", "max_tokens", "temperature", "response_format", "tools", "tool_choice", "parallel_tool_calls", "system"]}],
)  # fmt: skip
def test_request_bodies_are_sent(job: Job, keys: dict[str, Any]) -> None:
    """As the note says, by either key; the row's own wins over the job's."""
    one, two, three = sent(job, BODIES, input__id=None, params={"temperature": 1, "max_completion_tokens": 9}, **keys)
    assert one == {"model": "big", "messages": HI, "temperature": 0, "max_tokens": 5,
                   "response_format": {"type": "json_object"}}  # fmt: skip
    assert (two["tools"], two["tool_choice"], two["parallel_tool_calls"]) == ([WEATHER], "required", False)
    assert (two["model"], two["max_completion_tokens"]) == ("m", 9)
    assert three["messages"] == [{"role": "system", "content": "You are a pirate."}, *HI]
    assert "tag" in job.table()[0]
    assert "metadata" in job.table()[0]
    assert notes(job.run("validate", "job.yaml").out) == []


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_images_beside_the_conversation(job: Job, suffix: str) -> None:
    """A question about an image that is not sent is paid for nothing: it is said before."""
    rows = [{"id": "a", "messages": conversation("<image>Who is it?"), "images": ["1.jpg"]}]
    job.write(rows, input__path=f"in.{suffix}")
    pq.write_table(pa.Table.from_pylist(rows), job.folder / "in.parquet")
    note = "rows have `images`, not sent. To send them, write them as parts of the messages' content."
    assert notes(job.run("validate", "job.yaml").out) == [note]
    assert note in job.run().err


def test_functions_of_an_older_training_file(job: Job) -> None:
    """`functions` is a request field too."""
    functions = [{"name": "weather", "parameters": {}}]
    rows = [{"messages": HI, "functions": functions, "function_call": "auto"}]
    (body,) = sent(job, rows, input__id=None, input__params=["functions", "function_call"])
    assert (body["functions"], body["function_call"]) == (functions, "auto")


def test_parameters_in_csv(job: Job) -> None:
    """Numbers are numbers, JSON is what it says, and an empty cell is not sent; a bad cell is that row's."""
    with (job.folder / "in.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "temperature", "max_tokens", "tools", "note"])
        writer.writerow(["a", "Hi", "0.7", "512", json.dumps([WEATHER]), "x"])
        writer.writerow(["b", "Ho", "", "", "", "y"])
        writer.writerow(["c", "Hu", "hot", "", "", "z"])
    listed = ["temperature", "max_tokens", "tools"]
    with endpoint(answer) as server:
        job.write(endpoint__base_url=server.url, input__path="in.csv", input__params=listed, concurrency=1)
        assert job.run().code == 3
        one, two = (asked.body for asked in server.asked)
    assert (one["temperature"], one["max_tokens"], one["tools"]) == (0.7, 512, [WEATHER])
    assert set(two) == {"model", "messages"}
    bad = job.table()[2]
    assert (bad["status"], bad["error"]) == ("invalid", '`temperature` is "hot", text. It takes a number.')
    checked = job.run("validate", "job.yaml")
    assert checked.code == 2
    assert "in.csv:4: `temperature`" in checked.out


def test_parameters_in_parquet(job: Job) -> None:
    """JSON text is parsed, and the nulls that Arrow puts into structs are not sent."""
    rows: list[dict[str, Any]] = [
        {"id": "a", "prompt": "Hi", "tools": json.dumps([WEATHER]), "response_format": {"type": "text", "x": None}},
        {"id": "b", "prompt": "Ho", "tools": None, "response_format": {"type": "text", "x": "y"}},
    ]
    pq.write_table(pa.Table.from_pylist(rows), job.folder / "in.parquet")
    one, two = sent(job, input__path="in.parquet", input__params=["tools", "response_format"])
    assert (one["tools"], one["response_format"]) == ([WEATHER], {"type": "text"})
    assert "tools" not in two


def test_a_column_that_comes_late(job: Job) -> None:
    """A field that only rows far behind the first have is said when they are read."""
    rows = [{"id": f"r{n}", "messages": HI} for n in range(1_001)]
    job.write([*rows, {"id": "last", "messages": HI, "tools": [WEATHER]}], input__first=None)
    ended = job.run("validate", "job.yaml")
    assert len(notes(ended.out)) == 1
    job.write(endpoint__base_url="mock", input__first=1)
    assert notes(job.run().err) == []


def test_misspelt_parameters(job: Job) -> None:
    """A name that is one letter off is asked about, and sent as it stands."""
    rows = [{"id": "a", "messages": HI, "p": {"max_token": 5}}]
    (body,) = sent(job, rows, input__params="p", params={"temprature": 1})
    assert (body["temprature"], body["max_token"]) == (1, 5)
    told = notes(job.run("validate", "job.yaml").out)
    assert told[0] == "`params.temprature` is sent as it stands. Did you mean `temperature`?"
    assert notes((job.run_folder / "run.log").read_text())[0] == told[0]


def test_a_params_column_that_no_row_has(job: Job) -> None:
    """A name in `input.params` that none of the first rows has is said."""
    sent(job, [{"id": "a", "messages": HI, "temperature": 0}], input__params=["temperatur"])
    told = notes(job.run("validate", "job.yaml").out)
    assert told[0] == "`temperatur` (`input.params`) has no value in the only row."


def test_a_chat_dataset_that_ends_with_answers(job: Job) -> None:
    """It is refused with the key that helps; with it all rows are sent, and the answers are kept for comparison."""
    turns = [("human", "Who?"), ("gpt", "A model."), ("human", "Where?"), ("gpt", "Here.")]
    row = {"id": "identity_0", "conversations": [{"from": name, "value": text} for name, text in turns]}
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    rows = [row, {"id": "b", "conversations": [*HI, call]}, {"id": "c", "conversations": HI, "reference": "own"}]
    job.write(rows[:1], input__trailing_assistant=None)
    refused = job.run()
    assert refused.code == 2
    assert "`input.trailing_assistant: drop` cuts it off" in refused.err
    bodies = sent(job, rows, input__trailing_assistant="drop")
    assert [body["messages"][-1]["content"] for body in bodies] == ["Where?", "Hi", "Hi"]
    table = job.table()
    assert [row["reference"] for row in table] == ["Here.", json.dumps([call], separators=(",", ":")), None]
    assert table[2]["input_reference"] == "own"
    assert [message["role"] for message in table[0]["messages"]] == ["user", "assistant", "user", "assistant"]


def test_answers_that_were_cut_off_beside_parquet_types(job: Job) -> None:
    """Carried columns of Parquet keep their types, and a column of that name is renamed."""
    table = pa.table({"id": ["a"], "messages": [[*HI, {"role": "assistant", "content": "Yes"}]],
                      "reference": pa.array([7], pa.int16())})  # fmt: skip
    pq.write_table(table, job.folder / "in.parquet")
    sent(job, input__path="in.parquet", input__trailing_assistant="drop")
    schema = pq.read_schema(job.output)
    assert (schema.field("reference").type, schema.field("input_reference").type) == (pa.string(), pa.int16())


@pytest.mark.parametrize("form", ["messages", "openai-batch", "request"])
def test_a_beginning_of_the_answer(job: Job, form: str) -> None:
    """With `prefill` it is sent as it stands, whatever the format, and the reply comes behind it."""
    messages = [*HI, {"role": "assistant", "content": "Dear"}]
    row = {"custom_id": "a", "body": {"messages": messages}} if form == "openai-batch" else {"messages": messages}
    (body,) = sent(job, [row], input__id=None, input__format=form, input__trailing_assistant="prefill")
    assert body["messages"] == messages
    assert [message["content"] for message in job.table()[0]["messages"]] == ["Hi", "Dear", "Fine."]
    assert "reference" not in job.table()[0]


@pytest.mark.parametrize(("reply", "answer"), [(" Ada, fine.", "Dear Ada, fine."), ("Dear Ada.", "Dear Ada.")])
def test_a_training_set_has_the_answer_with_its_beginning_as_one_message(job: Job, reply: str, answer: str) -> None:
    """Two messages of the assistant in succession are refused by fine-tuning; some servers repeat the beginning."""
    messages = [*HI, {"role": "assistant", "content": "Dear"}]
    with endpoint(lambda _: ok(reply)) as server:
        job.write([{"messages": messages}], endpoint__base_url=server.url, input__id=None,
                  input__trailing_assistant="prefill")  # fmt: skip
        assert job.run().code == 0
    assert job.run("export", "job.yaml", "--to", "chat", "-o", "chat.jsonl").code == 0
    (line,) = (job.folder / "chat.jsonl").read_text().splitlines()
    assert json.loads(line)["messages"] == [*HI, {"role": "assistant", "content": answer}]


def test_nothing_but_answers(job: Job) -> None:
    """There is nothing to ask where all turns are cut off."""
    job.write([{"id": "a", "messages": [{"role": "assistant", "content": "x"}]}, {"id": "b", "messages": HI}],
              input__trailing_assistant="drop")  # fmt: skip
    assert job.run().code == 3
    assert job.table()[0]["error"] == "`messages` has only assistant messages: nothing to answer."


def test_sharegpt_with_system_and_tools(job: Job) -> None:
    """LLaMA-Factory's columns beside the conversation, and its turns of calls and results."""
    call = '{"name":"weather","arguments":{"city":"Bonn"}}'
    rows = [
        {"id": 1, "conversations": [{"from": "human", "value": "Who?"}], "system": "You are a pirate."},
        {"id": 2, "tools": '[{"name":"weather"}]', "system": "", "conversations": [
            {"from": "human", "value": "Weather?"}, {"from": "function_call", "value": call},
            {"from": "observation", "value": '{"temp":7}'}]},
    ]  # fmt: skip
    one, two = sent(job, rows)
    assert one["messages"][0] == {"role": "system", "content": "You are a pirate."}
    assert two["tools"] == [{"type": "function", "function": {"name": "weather"}}]
    assert [message["role"] for message in two["messages"]] == ["user", "assistant", "tool"]
    assert two["messages"][1]["tool_calls"][0]["id"] == two["messages"][2]["tool_call_id"]


def test_null_keys_are_no_keys(job: Job) -> None:
    """In JSON lines as in Parquet, in a batch line too; `content` stays where it is null beside tool calls."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}], "name": None}
    messages = [{"role": "user", "content": "Hi", "name": None}, call,
                {"role": "tool", "content": "7", "tool_call_id": "1", "tool_calls": None}]  # fmt: skip
    clean = [*HI, {key: value for key, value in call.items() if key != "name"},
             {"role": "tool", "content": "7", "tool_call_id": "1"}]  # fmt: skip
    assert sent(job, [{"id": "a", "messages": messages}])[0]["messages"] == clean
    pq.write_table(pa.Table.from_pylist([{"id": "b", "messages": messages}]), job.folder / "in.parquet")
    assert sent(job, input__path="in.parquet", output__path="b.parquet")[0]["messages"] == clean
    line = {"custom_id": "a", "body": {"messages": messages}}
    job.write([line], input__path="in.jsonl", input__id=None, output__path="c.parquet")
    assert sent(job)[0]["messages"] == clean


def test_parts_of_another_api_pass_untouched(job: Job) -> None:
    """What a part of a message may be is the endpoint's to say."""
    parts = [{"type": "input_text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "user", "content": parts}]
    assert sent(job, [{"id": "a", "messages": messages}])[0]["messages"] == messages


KEYS_TWICE = [
    '{"id":"1","messages":[{"role":"user","role":"system","content":"x"}]}',
    '{"id":"2","messages":[{"role":"user","content":"x"}],"tag":1,"tag":2}',
    '{"id":"3","id":"4","messages":[{"role":"user","content":"x"}]}',
    '{"id":"5","messages":[{"role":"user","content":"x"}],"p":{"seed":1,"seed":2}}',
    '{"id":"6","messages":"[{\\"role\\":\\"user\\",\\"content\\":\\"x\\",\\"content\\":\\"y\\"}]"}',
]


def test_a_key_twice(job: Job) -> None:
    """No value is lost in silence, at any level; the row is invalid, and says which key."""
    job.write([{"id": "ok", "messages": HI}, *KEYS_TWICE], input__params="p")
    assert job.run().code == 3
    errors = [row["error"] for row in job.table()[1:]]
    assert [error.split("`")[1] for error in errors] == ["messages[0].role", "tag", "id", "p.seed", "messages"]
    assert all("twice" in error for error in errors)
    assert "5 rows: a key twice in one object" in job.run("validate", "job.yaml").out


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"messages": "[{'role': 'user', 'content': 'hi'}]"}, "write it with json.dumps"),
        ({"messages": {"role": "user", "content": "hi"}}, '{"role":"user","content":"hi"}, an object. It takes a list'),
        ({"messages": None}, "`messages` is null. It takes a list of messages"),
        ({"messages": "[{"}, "`messages` is not JSON"),
        (
            {"prompt": ["a", "b"]},
            '`prompt` is ["a","b"], a list. It takes text. `input.format: turns` with `input.column: prompt` plays',
        ),
        ({"conversations": "x"}, "`conversations` is not JSON"),
        ({"dialog": HI}, "`input.column: dialog` reads the messages there."),
        ({"turns": ["a", 3]}, "`turns[1]` is 3, a number. It takes text"),
    ],
)
def test_a_conversation_of_another_shape(job: Job, row: dict[str, Any], sentence: str) -> None:
    """The message says what stands there, and how it would be read."""
    job.write([row], input__id=None)
    ended = job.run()
    assert ended.code == 2
    assert sentence in ended.err
    assert "in.jsonl:1" in ended.err


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": HI},
        {"messages": {"role": ["user"], "content": ["Hi"]}},
        {"conversations": {"from": ["human"], "value": ["Hi"]}},
        {"messages": json.dumps(HI)},
    ],
)
def test_another_shape_that_is_read(job: Job, row: dict[str, Any]) -> None:
    """A list of messages under `prompt` (TRL), a struct of lists (`Sequence`), JSON text."""
    assert sent(job, [row], input__id=None)[0]["messages"] == HI
    pq.write_table(pa.Table.from_pylist([row]), job.folder / "in.parquet")
    assert sent(job, input__path="in.parquet", output__path="b.parquet")[0]["messages"] == HI


def test_json_that_is_named_as_lines(job: Job) -> None:
    """A list is read as one; objects over several lines are refused with the way out."""
    rows = [{"id": "a", "messages": HI}, {"id": "b", "messages": HI}]
    Path(job.folder / "in.jsonl").write_text(json.dumps(rows, indent=1))
    assert len(sent(job)) == 2
    Path(job.folder / "in.jsonl").write_text("\n".join(json.dumps(row, indent=1) for row in rows))
    ended = job.run()
    assert ended.code == 2
    assert "in.jsonl has objects that go over several lines" in ended.err


def test_lists_on_lines_are_no_list(job: Job) -> None:
    """A line that is a list is a bad row of its own; no row behind it is lost."""
    job.write([json.dumps(HI), {"id": "a", "messages": HI}])
    assert job.run().code == 3
    assert [row["status"] for row in job.table()] == ["invalid", "answered"]


@pytest.mark.parametrize(
    ("rows", "ids"),
    [
        ([{"id": 7, "messages": HI}], ["7"]),
        ([{"custom_id": "c", "messages": HI}], ["c"]),
        ([{"id": None, "custom_id": "c", "messages": HI}], ["c"]),
        ([{"id": 0.5, "messages": HI}], None),
        ([{"n": 1, "messages": HI}], None),
    ],
)
def test_ids_of_the_rows_own(job: Job, rows: list[Any], ids: list[str] | None) -> None:
    """`input.id: auto` takes `id` or `custom_id` where the first row has one that can be an id, else a hash."""
    sent(job, rows, input__id="auto")
    found = [row["id"] for row in job.table()]
    assert found == ids if ids is not None else len(found[0]) == 16


def test_ids_that_are_none(job: Job) -> None:
    """Where the column is not one of unique ids, the message names the key that makes ids of the requests."""
    rows = [{"id": "a", "messages": HI}, {"id": "a", "messages": conversation("Ho")}]
    job.write(rows, input__id="auto")
    assert job.run().code == 3
    assert job.table()[1]["id"] == "a#in.jsonl:2"
    assert job.table()[1]["error"].endswith("`input.id: null` makes an id of each request instead.")
    job.file.write_text(job.file.read_text().replace('"auto"', "null").replace("out.parquet", "b.parquet"))
    assert job.run().code == 0


def test_nothing_left_to_send(job: Job) -> None:
    """`validate` after the run says so, and does not suggest to run."""
    job.write([{"id": "a", "messages": HI}])
    assert "next  batchchat run job.yaml --limit 5" in job.run("validate", "job.yaml").out
    job.run()
    checked = job.run("validate", "job.yaml")
    assert checked.code == 0
    assert "1 good · nothing left to send: each has its result" in checked.out
    assert "next  batchchat report job.yaml" in checked.out
