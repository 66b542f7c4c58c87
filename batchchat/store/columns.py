"""The output's columns, declared once: name, Arrow type, where a record holds the value, meaning.

They are the same for every job, whichever of them are null; passthrough columns come after. Parquet, the exports and
the reference are made from this table. A column can also put a value back into a record, so that an output without its
journal can still be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from batchchat import lossless_json
from batchchat.arrow import cells
from batchchat.core.record import RowRecord
from batchchat.store.conversation_columns import (
    MESSAGES,
    Conversations,
    conversation,
    conversations_of,
    messages_array,
    text_column,
)
from batchchat.text.times import iso_utc

__all__ = [
    "COLUMNS",
    "MESSAGES",
    "Column",
    "RecordSlice",
    "Values",
    "arrays_of",
    "conversation",
    "passthrough_names",
    "record_of",
    "times_of",
]

_TEXT = pa.string()
_INT, _SMALL, _FLOAT = pa.int64(), pa.int32(), pa.float64()
_TIME = pa.timestamp("us", "UTC")
_MICROS = cells.decode([1e6], _FLOAT)[0]
"""As a scalar: a number would have to be converted, for which Arrow imports pandas."""
_NONE: dict[str, Any] = {}


class Values(Enum):
    """What the values of a column are like: how a file best stores them."""

    REPEATED = auto()
    """A dictionary of them saves room."""
    UNIQUE = auto()
    """Nearly each is another."""
    LONG = auto()
    """These too, and texts of such length that the least and the greatest of them are no use to a reader."""


class RecordSlice:
    """Records that become columns together, and the parts of them that several columns are made of."""

    __slots__ = ("_conversations", "replies", "rows", "usages")

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows
        self.replies: list[dict[str, Any]] = [row.get("reply", _NONE) for row in rows]
        self.usages: list[dict[str, Any]] = [row.get("usage", _NONE) for row in rows]
        self._conversations: Conversations | None = None

    @property
    def conversations(self) -> Conversations:
        """The conversations of the records as struct columns, and which of them these can't hold."""
        if self._conversations is None:
            self._conversations = conversations_of(self.rows)
        return self._conversations


class Accessor(NamedTuple):
    """Access to a value in records: `take` gets it from many, None where unknown; `put` sets a known one in one.

    `path` are the keys that lead to the value where it stands in the record as it is.
    """

    take: Callable[[RecordSlice], list[Any]]
    put: Callable[[dict[str, Any], Any], None]
    path: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the output."""

    name: str
    type: pa.DataType
    accessor: Accessor
    meaning: str
    values: Values = Values.REPEATED

    def array(self, rows: Sequence[RowRecord]) -> pa.Array[Any]:
        """The column of `rows`. Lone surrogates, which no Parquet text can hold, become U+FFFD."""
        return arrays_of(rows, [self])[0]

    def array_of(self, records: RecordSlice) -> pa.Array[Any]:
        """The column of `records`."""
        if self.type is MESSAGES:
            return messages_array(records.conversations)
        values = self.accessor.take(records)
        kind: Any = self.type  # the stubs have an overload for each type there is, and none for all
        if values.count(None) == len(values):
            nulls: pa.Array[Any] = pa.nulls(len(values), kind)
            return nulls
        if self.type is _TEXT:
            return text_column(values)
        if self.type is _TIME:
            return times_of(cells.decode(values, _FLOAT))
        return cells.decode(values, self.type)

    def json(self, row: RowRecord) -> Any:
        """The value as JSON, times in ISO 8601 UTC."""
        value = self.accessor.take(RecordSlice([row]))[0]
        if self.type is _TIME and value is not None:
            return iso_utc(value, "microseconds")
        return value


def times_of(seconds: pa.Array[Any]) -> pa.Array[Any]:
    """The column of times that are `seconds` since the epoch."""
    micros: Any = pc.round(pc.multiply(seconds, _MICROS), round_mode="half_to_even")
    times: pa.Array[Any] = micros.cast(_INT).cast(_TIME)
    return times


def arrays_of(rows: Sequence[RowRecord], columns: Iterable[Column]) -> list[pa.Array[Any]]:
    """The `columns` of `rows`."""
    records = RecordSlice(rows)
    return [column.array_of(records) for column in columns]


def record_of(values: Mapping[str, Any]) -> RowRecord:
    """The record of an output row from its cells in the JSON form of `cells`, as far as the output has it."""
    record: dict[str, Any] = {"kind": "row", "variant": "", "sample": 0}
    for column in COLUMNS:
        if (value := values.get(column.name)) is not None:
            column.accessor.put(record, value)
    row: RowRecord = record  # type: ignore[assignment]
    return row


def _messages(records: RecordSlice) -> list[Any]:
    in_json = records.conversations.in_json
    return [None if at in in_json else conversation(row) for at, row in enumerate(records.rows)]


def _messages_json(records: RecordSlice) -> list[Any]:
    in_json = records.conversations.in_json
    if not in_json:
        return [None] * len(records.rows)
    return [_json(conversation(row)) if at in in_json else None for at, row in enumerate(records.rows)]


def _json(value: Any) -> str | None:
    return None if value is None else lossless_json.dumps(value).decode()


# One comprehension per column: calling a function for each value took three times as long.


def _field(name: str) -> Accessor:
    return Accessor(
        lambda records: [row.get(name) for row in records.rows],
        lambda row, value: row.update({name: value}),
        (name,),
    )


def _time(name: str) -> Accessor:
    return Accessor(_field(name).take, lambda row, micros: row.update({name: micros / 1e6}), (name,))


def _in_reply(name: str) -> Accessor:
    return Accessor(
        lambda records: [reply.get(name) for reply in records.replies], _put_in("reply", name), ("reply", name)
    )


def _in_usage(name: str) -> Accessor:
    return Accessor(
        lambda records: [usage.get(name) for usage in records.usages], _put_in("usage", name), ("usage", name)
    )


def _put_in(part: str, name: str) -> Callable[[dict[str, Any], Any], None]:
    return lambda row, value: row.setdefault(part, {}).update({name: value})


def _json_in_reply(name: str) -> Accessor:
    take, put, _ = _in_reply(name)
    return Accessor(
        lambda records: [_json(value) for value in take(records)],
        lambda row, value: put(row, lossless_json.loads(value.encode())),
    )


_PARSED = Accessor(
    # JSON's null is a value of its own, "null".
    lambda records: [
        lossless_json.dumps(reply["parsed"]).decode() if "parsed" in reply else None for reply in records.replies
    ],
    _json_in_reply("parsed").put,
)
_REPAIRED = Accessor(
    lambda records: [
        "parse_repaired" in row if "parsed" in reply else None
        for row, reply in zip(records.rows, records.replies, strict=True)
    ],
    lambda row, value: row.update({"parse_repaired": True}) if value else None,
)
_RE_ASKS = Accessor(
    lambda records: [row.get("re_asks", 0) if "attempts" in row else None for row in records.rows],
    lambda row, value: row.update({"re_asks": value}) if value else None,
)


def _set_messages(row: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    # A conversation that was sent may end with the assistant's turn too (`prefill`); then there is a reply behind it.
    has_reply = "reply" in row or row.get("status") == "answered"
    row["messages"] = messages[:-1] if has_reply and messages and messages[-1]["role"] == "assistant" else messages


COLUMNS: tuple[Column, ...] = (
    Column("id", _TEXT, _field("id"), "the row's id, given or derived from its conversation", values=Values.UNIQUE),
    Column("variant", _TEXT, _field("variant"), "which combination of the matrix, empty without one"),
    Column("sample", _SMALL, _field("sample"), "which completion of the conversation, from 0"),
    Column("status", _TEXT, _field("status"), "answered, failed or invalid"),
    Column("response", _TEXT, _in_reply("text"), "the reply's text", values=Values.LONG),
    Column(
        "finish_reason",
        _TEXT,
        _in_reply("finish_reason"),
        "why the model stopped; of several turns the last, or length where one before it was cut off",
    ),
    Column(
        "messages", MESSAGES, Accessor(_messages, _set_messages), "the conversation with the reply", values=Values.LONG
    ),
    Column(
        "messages_json",
        _TEXT,
        Accessor(_messages_json, lambda row, value: _set_messages(row, lossless_json.loads(value.encode()))),
        "the same as JSON, only where role and content can't hold it",
        values=Values.LONG,
    ),
    Column("tool_calls", _TEXT, _json_in_reply("tool_calls"), "the reply's tool calls, as JSON", values=Values.LONG),
    Column(
        "parsed", _TEXT, _PARSED, "the reply read as JSON that fits `expect.json_schema`, as JSON", values=Values.LONG
    ),
    Column(
        "parse_repaired",
        pa.bool_(),
        _REPAIRED,
        "whether that JSON was cut out of other text or repaired; null where there is none",
    ),
    Column("reasoning", _TEXT, _in_reply("reasoning"), "the reasoning the endpoint showed", values=Values.LONG),
    Column("refusal", _TEXT, _in_reply("refusal"), "the refusal the endpoint marked as one"),
    Column(
        "logprobs",
        _TEXT,
        _json_in_reply("logprobs"),
        "the log probabilities of its tokens, as JSON",
        values=Values.LONG,
    ),
    Column("model", _TEXT, _in_reply("model"), "the model as served"),
    Column("model_requested", _TEXT, _field("model"), "the model as requested"),
    Column("service_tier", _TEXT, _in_reply("service_tier"), "the tier as served"),
    Column("response_id", _TEXT, _in_reply("response_id"), "the endpoint's id of the response", values=Values.UNIQUE),
    Column(
        "prompt_tokens",
        _INT,
        _in_usage("prompt_tokens"),
        "as reported, of the last attempt that did; the tokens of several turns are sums",
    ),
    Column(
        "completion_tokens",
        _INT,
        _in_usage("completion_tokens"),
        "as reported; what only the total has beyond it (reasoning, at some endpoints) is billed as reply too",
    ),
    Column("total_tokens", _INT, _in_usage("total_tokens"), "as reported"),
    Column("cached_tokens", _INT, _in_usage("cached_tokens"), "as reported"),
    Column("reasoning_tokens", _INT, _in_usage("reasoning_tokens"), "as reported"),
    Column(
        "cost_usd",
        _FLOAT,
        _field("cost_usd"),
        "USD as float64, the sum of what all attempts cost; null where unknown. Reports add its decimals exactly",
        values=Values.UNIQUE,
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
    Column("latency_s", _FLOAT, _field("latency_s"), "seconds the last attempt took", values=Values.UNIQUE),
    Column(
        "first_token_s",
        _FLOAT,
        _field("first_token_s"),
        "seconds until its first token, where it was streamed",
        values=Values.UNIQUE,
    ),
    Column("wait_s", _FLOAT, _field("wait_s"), "seconds in queue and backoff before it", values=Values.UNIQUE),
    Column("started_at", _TIME, _time("started_at"), "when the last attempt was sent", values=Values.UNIQUE),
    Column("finished_at", _TIME, _time("finished_at"), "when it ended", values=Values.UNIQUE),
    Column("http_status", _SMALL, _field("http_status"), "its HTTP status"),
    Column("error_kind", _TEXT, _field("error_kind"), "why there is no answer, from a closed list"),
    Column("error", _TEXT, _field("error"), "the reason in words"),
    Column(
        "raw",
        _TEXT,
        _field("raw"),
        "the response's JSON as it came, a stream joined; without `output.raw` only of replies with images or audio,"
        " and the first MiB of a 2xx that could not be used",
        values=Values.LONG,
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
