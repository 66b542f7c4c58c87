"""Output rows as lines of other formats: JSON lines, CSV, OpenAI's batch output, ShareGPT. Pure: records in, lines out.

For a row that a format can't hold there is a reason in place of its line; no row is changed to fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.core.bad import Bad
from batchchat.core.conversation import Message, Status
from batchchat.core.key_spelling import spelled_key
from batchchat.core.record import RowRecord, key_of
from batchchat.core.totals import SHARED
from batchchat.hash_table import stable_hash64
from batchchat.results.sharegpt_turns import sharegpt_turns
from batchchat.results.values import passthrough_values
from batchchat.sources.row_params import read_field
from batchchat.store.columns import COLUMNS, conversation, passthrough_names
from batchchat.store.parquet import PassthroughColumn

__all__ = ["EXPORT_FORMATS", "TRAINING_FORMATS", "ExportFormat", "Skipped", "csv_line"]

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_ERROR_STATUS = 400


class Skipped(NamedTuple):
    """A row is left out of an export, with the reason."""

    reason: str


class ExportFormat(NamedTuple):
    """`head` begins the file; `lines` returns a line for each of several records, or why it is skipped."""

    head: bytes
    lines: Callable[[Sequence[RowRecord]], list[bytes | Skipped]]


def jsonl(passthrough: Mapping[str, PassthroughColumn]) -> ExportFormat:
    """One object a line, keys as the Parquet's columns, times in ISO 8601."""

    def lines(rows: Sequence[RowRecord]) -> list[bytes | Skipped]:
        own = _passthrough_rows(rows, passthrough)
        return [
            lossless_json.dumps({column.name: column.json(row) for column in COLUMNS} | values) + b"\n"
            for row, values in zip(rows, own, strict=True)
        ]

    return ExportFormat(b"", lines)


def csv(passthrough: Mapping[str, PassthroughColumn]) -> ExportFormat:
    """RFC 4180 with a header. Null is nothing, empty text is `""`, lists and objects are JSON.

    Text that a spreadsheet would take for a formula gets a `'` put before it (OWASP, "CSV Injection").
    """
    names = [*(column.name for column in COLUMNS), *passthrough_names(passthrough).values()]

    def lines(rows: Sequence[RowRecord]) -> list[bytes | Skipped]:
        own = _passthrough_rows(rows, passthrough)
        return [
            csv_line([*(column.json(row) for column in COLUMNS), *values.values()])
            for row, values in zip(rows, own, strict=True)
        ]

    return ExportFormat(csv_line(names), lines)


def csv_line(values: Sequence[Any]) -> bytes:
    """A line as `csv` writes it."""
    return (",".join(map(_csv_cell, values)) + "\n").encode()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        text = lossless_json.dumps(value).decode()
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if _NEEDS_QUOTES.search(text) else text
    text = lossless_json.scrub(value)
    if _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if not text or _NEEDS_QUOTES.search(text) else text


def openai_batch(passthrough: Mapping[str, PassthroughColumn]) -> ExportFormat:  # noqa: ARG001 (a batch line has no place for more)
    """The lines of a batch's output file, as OpenAI's Batch API and vLLM's `run-batch` write them."""

    def lines(rows: Sequence[RowRecord]) -> list[bytes | Skipped]:
        return [lossless_json.dumps(_batch_line(row)) + b"\n" for row in rows]

    return ExportFormat(b"", lines)


def _batch_line(row: RowRecord) -> dict[str, Any]:
    key = key_of(row)
    request = f"batch_req_{stable_hash64(repr(key).encode('utf-8', 'surrogatepass')):016x}"
    line: dict[str, Any] = {"id": request, "custom_id": spelled_key(key), "response": None, "error": None}
    if row["status"] == Status.ANSWERED:
        body = _completion(row) if (raw := row.get("raw")) is None else _raw_body(raw)
        line["response"] = {"status_code": row.get("http_status", 200), "request_id": request, "body": body}
        return line
    error = {"message": row["error"], "type": row["error_kind"], "param": None, "code": row["error_kind"]}
    if (status := row.get("http_status", 0)) >= _ERROR_STATUS:
        body = {"error": error} if (usage := _usage(row)) is None else {"error": error, "usage": usage}
        line["response"] = {"status_code": status, "request_id": request, "body": body}
    else:
        line["error"] = {"code": row["error_kind"], "message": row["error"]}
    return line


def _raw_body(raw: str) -> Any:
    return lossless_json.loads_lenient(raw.encode("utf-8", "surrogateescape"))


def _completion(row: RowRecord) -> dict[str, Any]:
    reply = row["reply"]
    message = {"role": "assistant", "content": reply.get("text"), "refusal": reply.get("refusal")}
    if "tool_calls" in reply:
        message["tool_calls"] = reply["tool_calls"]
    if "reasoning" in reply:
        message["reasoning_content"] = reply["reasoning"]
    choice = {"index": 0, "message": message, "logprobs": reply.get("logprobs")}
    body: dict[str, Any] = {
        "id": reply.get("response_id"),
        "object": "chat.completion",
        "created": int(row.get("finished_at", 0)),
        "model": reply.get("model", row["model"]),
        "choices": [{**choice, "finish_reason": reply.get("finish_reason")}],
    }
    if "service_tier" in reply:
        body["service_tier"] = reply["service_tier"]
    if (usage := _usage(row)) is not None:
        body["usage"] = usage
    return body


_NOTHING_USED = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "estimated_cost": 0.0}


def _usage(row: RowRecord) -> dict[str, Any] | None:
    if row.get("cost_source") == SHARED:
        return _NOTHING_USED  # it was paid for once, in another row
    reported = row.get("usage", {})
    usage: dict[str, Any] = {
        name: reported[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens") if name in reported
    }
    if "cached_tokens" in reported:
        usage["prompt_tokens_details"] = {"cached_tokens": reported["cached_tokens"]}
    if "reasoning_tokens" in reported:
        usage["completion_tokens_details"] = {"reasoning_tokens": reported["reasoning_tokens"]}
    if row.get("cost_source") == "reported":
        usage["estimated_cost"] = row["cost_usd"]  # of all attempts at the row
    return usage or None


def sharegpt(passthrough: Mapping[str, PassthroughColumn]) -> ExportFormat:
    """`{id, conversations: [{from, value}], …passthrough}`: a training set, which the same reader reads back."""
    exported = {name: column for name, column in passthrough.items() if name not in {"id", "conversations"}}

    def lines(rows: Sequence[RowRecord]) -> list[bytes | Skipped]:
        own = _passthrough_rows(rows, exported)
        return [_sharegpt_line(row, values) for row, values in zip(rows, own, strict=True)]

    return ExportFormat(b"", lines)


def _sharegpt_line(row: RowRecord, values: dict[str, Any]) -> bytes | Skipped:
    if (unfit := _unfit_for_training(row)) is not None:
        return unfit
    turns = sharegpt_turns(_training_messages(row))
    if turns is None:
        return Skipped("that ShareGPT can't hold: more than text in a message, text beside a call, another role")
    return lossless_json.dumps({"id": spelled_key(key_of(row)), "conversations": turns, **values}) + b"\n"


def chat(passthrough: Mapping[str, PassthroughColumn]) -> ExportFormat:
    """`{"messages": [...]}` a line, the reply last, and `tools` of a column, as fine-tuning takes it."""
    column = {name: kind for name, kind in passthrough.items() if name == "tools"}

    def lines(rows: Sequence[RowRecord]) -> list[bytes | Skipped]:
        return [_chat_line(row, values) for row, values in zip(rows, _passthrough_rows(rows, column), strict=True)]

    return ExportFormat(b"", lines)


def _chat_line(row: RowRecord, values: Mapping[str, Any]) -> bytes | Skipped:
    if (unfit := _unfit_for_training(row)) is not None:
        return unfit
    tools = read_field("tools", values.get("tools"))
    if isinstance(tools, Bad):
        return Skipped(f"whose column {tools.sentence.removesuffix('.')}")
    return lossless_json.dumps({"messages": _training_messages(row), **({"tools": tools} if tools else {})}) + b"\n"


def _unfit_for_training(row: RowRecord) -> Skipped | None:
    if row["status"] != Status.ANSWERED:
        return Skipped("without an answer")
    return Skipped("with a refusal in place of an answer") if "refusal" in row["reply"] else None


def _training_messages(row: RowRecord) -> list[Message]:
    """The conversation with its reply; a beginning of it that was sent (`prefill`) is one message with it."""
    messages = conversation(row) or []
    if [message["role"] for message in messages[-2:]] != ["assistant", "assistant"]:
        return messages
    *before, beginning, reply = messages
    start, text = beginning.get("content"), reply.get("content")
    if beginning.keys() != {"role", "content"} or not isinstance(start, str) or not isinstance(text, str):
        return messages
    return [*before, {**reply, "content": text if text.startswith(start) else start + text}]


def _passthrough_rows(rows: Sequence[RowRecord], passthrough: Mapping[str, PassthroughColumn]) -> list[dict[str, Any]]:
    columns = passthrough_values(rows, passthrough)
    if not columns:
        return [{} for _ in rows]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


EXPORT_FORMATS: Mapping[str, Callable[[Mapping[str, PassthroughColumn]], ExportFormat]] = {
    "jsonl": jsonl,
    "csv": csv,
    "openai-batch": openai_batch,
    "sharegpt": sharegpt,
    "chat": chat,
}
TRAINING_FORMATS = frozenset({"sharegpt", "chat"})
"""Those that a model is trained with: an answer that is cut off is left out of them unless it is asked for."""
