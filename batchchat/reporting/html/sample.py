"""Which rows the page holds, and in what form: all where they fit, else the notable ones and a seeded random sample.

Texts are shortened as far as needed to hold many rows, and marked where they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from batchchat import lossless_json
from batchchat.core.conversation import Status
from batchchat.core.record import RowRecord
from batchchat.reporting.html.page import embedded
from batchchat.reporting.html.row_columns import RowColumns
from batchchat.store.columns import conversation

__all__ = ["MAX_ROWS", "chosen_rows", "fitted", "most_expensive", "shown_row"]

MAX_ROWS = 1_200
_FAILED, _MOST_EXPENSIVE, _SLOWEST = 240, 40, 40
_TEXT_LENGTHS = (20_000, 6_000, 2_500, 1_200, 400, 100)
_WANTED = 400
_MAX_MESSAGES = 40
_MAX_PASSTHROUGH = 24
_SHORT = 240


def most_expensive(columns: RowColumns, max_rows: int = 10) -> list[int]:
    """The positions of the `max_rows` rows that cost most, the most expensive first."""
    return _top(columns.cost_usd, max_rows)


def chosen_rows(columns: RowColumns, random: np.random.Generator) -> list[int]:
    """Positions of rows: the most expensive, failed and invalid (some of each kind), the slowest, a random sample."""
    order: dict[int, None] = {}
    order.update(dict.fromkeys(most_expensive(columns)))
    bad = np.nonzero(~columns.status.are(Status.ANSWERED))[0]
    order.update(dict.fromkeys(_some_of_each(columns.error_kind.of, bad, random)))
    order.update(dict.fromkeys(most_expensive(columns, _MOST_EXPENSIVE)))
    order.update(dict.fromkeys(_top(columns.latency_s, _SLOWEST)))
    left = columns.rows if columns.rows <= MAX_ROWS else min(columns.rows, MAX_ROWS * 2)
    order.update(dict.fromkeys(random.choice(columns.rows, left, replace=False).tolist()))
    return list(order)[:MAX_ROWS]


def _top(values: npt.NDArray[np.float64], count: int) -> list[int]:
    finite = np.nonzero(np.isfinite(values))[0]
    return [int(at) for at in finite[np.argsort(-values[finite], kind="stable")[:count]]]


def _some_of_each(kinds: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], random: np.random.Generator) -> list[int]:
    """`rows`, or a sample of each kind where there are many; the first of each kind, its example, comes first."""
    if not len(rows):
        return []
    kinds_of_rows = kinds[rows]
    firsts = [int(rows[np.argmax(kinds_of_rows == kind)]) for kind in np.unique(kinds_of_rows)]
    if len(rows) <= _FAILED:
        return [*firsts, *map(int, rows)]
    share = max(1, _FAILED // len(firsts))
    sample = [
        row for kind in np.unique(kinds_of_rows) for row in random.permutation(rows[kinds_of_rows == kind])[:share]
    ]
    return [*firsts, *map(int, sample)]


def fitted(rows: Sequence[RowRecord], by: Mapping[int, str], positions: Sequence[int], room: int) -> list[bytes]:
    """As many of `rows` as fit into `room` bytes, each as embedded JSON.

    `positions` are theirs in the output; `by` has the value that each is grouped by.
    """
    for length in _TEXT_LENGTHS:
        all_written = [
            embedded(shown_row(row, position, by.get(position), length))
            for row, position in zip(rows, positions, strict=True)
        ]
        if sum(len(written) + 1 for written in all_written[:_WANTED]) <= room or length == _TEXT_LENGTHS[-1]:
            break
    fitting: list[bytes] = []
    for written in all_written:
        if (room := room - len(written) - 1) < 0:
            break
        fitting.append(written)
    return fitting


def shown_row(row: RowRecord, at: int, by: str | None, length: int) -> dict[str, Any]:
    """What the page holds of a row at position `at`; texts are cut at `length` characters."""
    usage, reply = row.get("usage", {}), row.get("reply", {})
    shown: dict[str, Any] = {
        "at": at,
        "id": _cut(row["id"], _SHORT),
        "status": row["status"],
        "model": _cut(reply.get("model") or row.get("model") or "", _SHORT),
        "by": None if by is None else _cut(by, _SHORT),
        "variant": _cut(row.get("variant") or "", _SHORT) or None,
        "sample": row.get("sample", 0),
        "prompt": usage.get("prompt_tokens"),
        "reply": usage.get("completion_tokens"),
        "cost": row.get("cost_usd"),
        "source": row.get("cost_source"),
        "latency": row.get("latency_s"),
        "wait": row.get("wait_s"),
        "attempts": row.get("attempts"),
        "unsure": row.get("possibly_billed") or None,
        "finish": _cut(reply.get("finish_reason") or "", _SHORT) or None,
        "kind": row.get("error_kind"),
        "error": _cut(row["error"], 2_000) if row.get("error") else None,
        "talk": _talk(row, length),
        "more": _passthrough(row),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _talk(row: RowRecord, length: int) -> list[list[str]]:
    messages = conversation(row) or []
    talk = [[_cut(str(message.get("role", "")), 40), _cut(_words(message), length)] for message in messages]
    if len(talk) > _MAX_MESSAGES:
        left_out = len(talk) - _MAX_MESSAGES
        talk = [talk[0], ["", f"{left_out} messages are left out here"], *talk[1 - _MAX_MESSAGES :]]
    if reasoning := row.get("reply", {}).get("reasoning"):
        talk.insert(-1, ["reasoning", _cut(reasoning, length)])
    return talk


def _words(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    parts = [] if content is None else [content if isinstance(content, str) else _json(content)]
    parts += [_json(message[name]) for name in ("tool_calls", "refusal") if name in message]
    return "\n".join(parts)


def _passthrough(row: RowRecord) -> list[list[str]] | None:
    present = [(name, value) for name, value in row.get("carried", {}).items() if value is not None]
    return [[_cut(name, 60), _cut(_json(value), _SHORT)] for name, value in present[:_MAX_PASSTHROUGH]] or None


def _json(value: Any) -> str:
    return value if isinstance(value, str) else lossless_json.dumps(value).decode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text) - length:,} more characters)"
