"""The output's columns, declared once: name, Arrow type, where a record holds the value, meaning.

They are the same for every job, whichever of them are null; passthrough columns come after. Parquet, the exports and
the reference are made from this table. A column can also put a value back into a record, so that an output without its
journal can still be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from batchchat import lossless_json
from batchchat.arrow import cells
from batchchat.core.record import RowRecord
from batchchat.text.times import iso_utc

__all__ = ["COLUMNS", "MESSAGES", "Column", "conversation", "passthrough_names", "record_of"]

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_TEXT = pa.string()
_TIME = pa.timestamp("us", "UTC")
_NO_REPLY: dict[str, Any] = {}


class Accessor(NamedTuple):
    """Access to a value in records: `take` gets it from many, None where unknown; `put` sets a known one in one."""

    take: Callable[[Sequence[Any]], list[Any]]
    put: Callable[[dict[str, Any], Any], None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the output."""

    name: str
    type: pa.DataType
    accessor: Accessor
    meaning: str

    @property
    def take(self) -> Callable[[Sequence[RowRecord]], list[Any]]:
        """Function from records to their values in this column."""
        return self.accessor.take

    def array(self, rows: Sequence[RowRecord]) -> pa.Array[Any]:
        """The column of `rows`. Lone surrogates, which no Parquet text can hold, become U+FFFD."""
        values = self.take(rows)
        kind: Any = self.type  # the stubs have an overload for each type there is, and none for all
        if values.count(None) == len(values):
            nulls: pa.Array[Any] = pa.nulls(len(values), kind)
            return nulls
        if self.type is MESSAGES:
            return _messages_array(values)
        if self.type is _TEXT:
            return _text_array(values)
        if self.type is _TIME:
            micros = [None if at is None else round(at * 1e6) for at in values]
            return cells.decode(micros, pa.int64()).cast(_TIME)
        return cells.decode(values, self.type)

    def json(self, row: RowRecord) -> Any:
        """The value as JSON, times in ISO 8601 UTC."""
        value = self.take([row])[0]
        if self.type is _TIME and value is not None:
            return iso_utc(value, "microseconds")
        return value


def record_of(values: Mapping[str, Any]) -> RowRecord:
    """The record of an output row from its cells in the JSON form of `cells`, as far as the output has it."""
    record: dict[str, Any] = {"kind": "row", "variant": "", "sample": 0}
    for column in COLUMNS:
        if (value := values.get(column.name)) is not None:
            column.accessor.put(record, value)
    row: RowRecord = record  # type: ignore[assignment]
    return row


def conversation(row: RowRecord) -> list[dict[str, Any]] | None:
    """The messages of `row`, its reply last; None for a row that could not be read."""
    messages = row.get("messages")
    if messages is None or (reply := row.get("reply")) is None:
        return messages
    message = {"role": "assistant", "content": reply.get("text")}
    message |= {name: reply[name] for name in ("tool_calls", "refusal") if name in reply}
    return [*messages, message]


def _fits(row: RowRecord) -> bool:
    """Whether structs of role and content can hold the conversation of `row` without loss."""
    if (reply := row.get("reply")) is not None and (
        not isinstance(reply.get("text"), str) or "tool_calls" in reply or "refusal" in reply
    ):
        return False
    for message in row.get("messages", ()):  # a loop: `all` over a generator takes three times as long
        if len(message) != 2 or not isinstance(message.get("content"), str):  # noqa: PLR2004
            return False
    return True


def _messages(rows: Sequence[RowRecord]) -> list[Any]:
    return [conversation(row) if _fits(row) else None for row in rows]


def _messages_json(rows: Sequence[RowRecord]) -> list[Any]:
    return [None if _fits(row) else _json(conversation(row)) for row in rows]


def _json(value: Any) -> str | None:
    return None if value is None else lossless_json.dumps(value).decode()


def _messages_array(lists: list[list[dict[str, Any]] | None]) -> pa.Array[Any]:
    offsets: list[int | None] = []
    flat: list[dict[str, Any]] = []
    for messages in lists:
        offsets.append(None if messages is None else len(flat))
        flat.extend(messages or ())
    offsets.append(len(flat))
    struct = pa.StructArray.from_arrays(
        [_text_array([message[name] for message in flat]) for name in ("role", "content")],
        fields=list(MESSAGES.value_type),
    )
    # The stubs know neither an Array of offsets nor a list type; Arrow takes both.
    lists_: Any = pa.ListArray
    array: pa.Array[Any] = lists_.from_arrays(cells.decode(offsets, pa.int32()), struct, type=MESSAGES)
    return array


def _text_array(values: list[Any]) -> pa.Array[Any]:
    try:
        return cells.decode(values, _TEXT)
    except UnicodeEncodeError:
        return cells.decode([None if value is None else lossless_json.scrub(value) for value in values], _TEXT)


# One comprehension per column: calling a function for each value took three times as long.


def _field(name: str) -> Accessor:
    return Accessor(lambda rows: [row.get(name) for row in rows], lambda row, value: row.update({name: value}))


def _time(name: str) -> Accessor:
    return Accessor(_field(name).take, lambda row, micros: row.update({name: micros / 1e6}))


def _in(part: str, name: str) -> Accessor:
    return Accessor(
        lambda rows: [row[part].get(name) if part in row else None for row in rows],
        lambda row, value: row.setdefault(part, {}).update({name: value}),
    )


def _json_in(part: str, name: str) -> Accessor:
    take, put = _in(part, name)
    return Accessor(
        lambda rows: [_json(value) for value in take(rows)],
        lambda row, value: put(row, lossless_json.loads(value.encode())),
    )


_PARSED = Accessor(
    # JSON's null is a value of its own, "null".
    lambda rows: [
        lossless_json.dumps(row["reply"]["parsed"]).decode() if "parsed" in row.get("reply", _NO_REPLY) else None
        for row in rows
    ],
    _json_in("reply", "parsed").put,
)
_REPAIRED = Accessor(
    lambda rows: ["parse_repaired" in row if "parsed" in row.get("reply", _NO_REPLY) else None for row in rows],
    lambda row, value: row.update({"parse_repaired": True}) if value else None,
)
_RE_ASKS = Accessor(
    lambda rows: [row.get("re_asks", 0) if "attempts" in row else None for row in rows],
    lambda row, value: row.update({"re_asks": value}) if value else None,
)


def _set_messages(row: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    # A conversation that was sent may end with the assistant's turn too (`prefill`); then there is a reply behind it.
    has_reply = "reply" in row or row.get("status") == "answered"
    row["messages"] = messages[:-1] if has_reply and messages and messages[-1]["role"] == "assistant" else messages


_INT, _SMALL, _FLOAT = pa.int64(), pa.int32(), pa.float64()

COLUMNS: tuple[Column, ...] = (
    Column("id", _TEXT, _field("id"), "the row's id, given or derived from its conversation"),
    Column("variant", _TEXT, _field("variant"), "which combination of the matrix, empty without one"),
    Column("sample", _SMALL, _field("sample"), "which completion of the conversation, from 0"),
    Column("status", _TEXT, _field("status"), "answered, failed or invalid"),
    Column("response", _TEXT, _in("reply", "text"), "the reply's text"),
    Column(
        "finish_reason",
        _TEXT,
        _in("reply", "finish_reason"),
        "why the model stopped; of several turns the last, or length where one before it was cut off",
    ),
    Column("messages", MESSAGES, Accessor(_messages, _set_messages), "the conversation with the reply"),
    Column(
        "messages_json",
        _TEXT,
        Accessor(_messages_json, lambda row, value: _set_messages(row, lossless_json.loads(value.encode()))),
        "the same as JSON, only where role and content can't hold it",
    ),
    Column("tool_calls", _TEXT, _json_in("reply", "tool_calls"), "the reply's tool calls, as JSON"),
    Column("parsed", _TEXT, _PARSED, "the reply read as JSON that fits `expect.json_schema`, as JSON"),
    Column(
        "parse_repaired",
        pa.bool_(),
        _REPAIRED,
        "whether that JSON was cut out of other text or repaired; null where there is none",
    ),
    Column("reasoning", _TEXT, _in("reply", "reasoning"), "the reasoning the endpoint showed"),
    Column("refusal", _TEXT, _in("reply", "refusal"), "the refusal the endpoint marked as one"),
    Column("logprobs", _TEXT, _json_in("reply", "logprobs"), "the log probabilities of its tokens, as JSON"),
    Column("model", _TEXT, _in("reply", "model"), "the model as served"),
    Column("model_requested", _TEXT, _field("model"), "the model as requested"),
    Column("service_tier", _TEXT, _in("reply", "service_tier"), "the tier as served"),
    Column("response_id", _TEXT, _in("reply", "response_id"), "the endpoint's id of the response"),
    Column(
        "prompt_tokens",
        _INT,
        _in("usage", "prompt_tokens"),
        "as reported, of the last attempt that did; the tokens of several turns are sums",
    ),
    Column(
        "completion_tokens",
        _INT,
        _in("usage", "completion_tokens"),
        "as reported; what only the total has beyond it (reasoning, at some endpoints) is billed as reply too",
    ),
    Column("total_tokens", _INT, _in("usage", "total_tokens"), "as reported"),
    Column("cached_tokens", _INT, _in("usage", "cached_tokens"), "as reported"),
    Column("reasoning_tokens", _INT, _in("usage", "reasoning_tokens"), "as reported"),
    Column(
        "cost_usd",
        _FLOAT,
        _field("cost_usd"),
        "USD as float64, the sum of what all attempts cost; null where unknown. Reports add its decimals exactly",
    ),
    Column(
        "cost_source",
        _TEXT,
        _field("cost_source"),
        "who says so: reported, or computed from the price of the job, the endpoint's list or the table; or shared:"
        " the answer of an equal request, for nothing",
    ),
    Column("attempts", _SMALL, _field("attempts"), "requests sent for the row"),
    Column("possibly_billed_attempts", _SMALL, _field("possibly_billed"), "those that ended without a known bill"),
    Column("re_asks", _SMALL, _RE_ASKS, "how often a reply that did not fit `expect` was asked for again"),
    Column("latency_s", _FLOAT, _field("latency_s"), "seconds the last attempt took"),
    Column("first_token_s", _FLOAT, _field("first_token_s"), "seconds until its first token, where it was streamed"),
    Column("wait_s", _FLOAT, _field("wait_s"), "seconds in queue and backoff before it"),
    Column("started_at", _TIME, _time("started_at"), "when the last attempt was sent"),
    Column("finished_at", _TIME, _time("finished_at"), "when it ended"),
    Column("http_status", _SMALL, _field("http_status"), "its HTTP status"),
    Column("error_kind", _TEXT, _field("error_kind"), "why there is no answer, from a closed list"),
    Column("error", _TEXT, _field("error"), "the reason in words"),
    Column(
        "raw",
        _TEXT,
        _field("raw"),
        "the response's JSON as it came, a stream joined; without `output.raw` only of replies with images or audio,"
        " and the first MiB of a 2xx that could not be used",
    ),
)


def passthrough_names(names: Iterable[str]) -> dict[str, str]:
    """The output name of each passthrough column: its own, with `input_` before one that collides."""
    taken = {column.name for column in COLUMNS}
    renamed: dict[str, str] = {}
    for name in names:
        out = lossless_json.scrub(name)
        while out in taken:
            out = f"input_{out}"
        taken.add(out)
        renamed[name] = out
    return renamed
