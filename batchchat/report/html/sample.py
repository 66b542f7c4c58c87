"""Which rows the page holds, and in what form: all where they fit, else those one looks for and a seeded random rest.

Texts are shortened as far as it takes to hold many rows, and it is said where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from batchchat import lossless_json
from batchchat.core.conversation import Status
from batchchat.core.record import RowRecord
from batchchat.report.html.facts import RowColumns
from batchchat.report.html.page import embedded
from batchchat.store.columns import conversation

__all__ = ["MOST_ROWS", "chosen_rows", "dearest", "fitted", "shown_row"]

MOST_ROWS = 1_200
_FAILED, _DEAREST, _SLOWEST = 240, 40, 40
_TEXT_LENGTHS = (20_000, 6_000, 2_500, 1_200, 400, 100)
_WANTED = 400
_MOST_MESSAGES = 40
_MOST_CARRIED = 24
_SHORT = 240


def dearest(facts: RowColumns, most: int = 10) -> list[int]:
    """The rows that cost most, dearest first."""
    return _top(facts.cost_usd, most)


def chosen_rows(facts: RowColumns, random: np.random.Generator) -> list[int]:
    """Rows by their places, the most wanted first: failed and invalid (some of each kind), dearest, slowest, others."""
    order: dict[int, None] = {}
    order.update(dict.fromkeys(dearest(facts)))
    bad = np.nonzero(~facts.status.are(Status.ANSWERED))[0]
    order.update(dict.fromkeys(_some_of_each(facts.error_kind.of, bad, random)))
    order.update(dict.fromkeys(dearest(facts, _DEAREST)))
    order.update(dict.fromkeys(_top(facts.latency_s, _SLOWEST)))
    left = facts.rows if facts.rows <= MOST_ROWS else min(facts.rows, MOST_ROWS * 2)
    order.update(dict.fromkeys(random.choice(facts.rows, left, replace=False).tolist()))
    return list(order)[:MOST_ROWS]


def _top(values: npt.NDArray[np.float64], most: int) -> list[int]:
    known = np.nonzero(np.isfinite(values))[0]
    return [int(at) for at in known[np.argsort(-values[known], kind="stable")[:most]]]


def _some_of_each(kinds: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], random: np.random.Generator) -> list[int]:
    """All of `rows`, or as many; of a rare kind all, and the first of each, which is its example, at the front."""
    if not len(rows):
        return []
    own = kinds[rows]
    firsts = [int(rows[np.argmax(own == kind)]) for kind in np.unique(own)]
    if len(rows) <= _FAILED:
        return [*firsts, *map(int, rows)]
    share = max(1, _FAILED // len(firsts))
    found = [row for kind in np.unique(own) for row in random.permutation(rows[own == kind])[:share]]
    return [*firsts, *map(int, found)]


def fitted(rows: Sequence[RowRecord], by: Mapping[int, str], places: Sequence[int], room: int) -> list[bytes]:
    """As many of `rows` as go into `room` bytes, each as embedded JSON; `places` are theirs in the output."""
    for length in _TEXT_LENGTHS:
        made = [embedded(shown_row(row, at, by.get(at), length)) for row, at in zip(rows, places, strict=True)]
        if sum(len(each) + 1 for each in made[:_WANTED]) <= room or length == _TEXT_LENGTHS[-1]:
            break
    kept: list[bytes] = []
    for each in made:
        if (room := room - len(each) - 1) < 0:
            break
        kept.append(each)
    return kept


def shown_row(row: RowRecord, at: int, by: str | None, length: int) -> dict[str, Any]:
    """What the page knows of a row; texts are cut at `length` characters."""
    usage, reply = row.get("usage", {}), row.get("reply", {})
    shown: dict[str, Any] = {
        "at": at,
        "id": _cut(row["id"], _SHORT),
        "status": row["status"],
        "model": _cut(reply.get("model") or row.get("model") or "", _SHORT),
        "by": None if by is None else _cut(by, _SHORT),
        "sample": row.get("sample") or None,
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
        "more": _carried(row),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _talk(row: RowRecord, length: int) -> list[list[str]]:
    messages = conversation(row) or []
    talk = [[_cut(str(message.get("role", "")), 40), _cut(_words(message), length)] for message in messages]
    if len(talk) > _MOST_MESSAGES:
        left_out = len(talk) - _MOST_MESSAGES
        talk = [talk[0], ["", f"{left_out} messages are left out here"], *talk[1 - _MOST_MESSAGES :]]
    if reasoning := row.get("reply", {}).get("reasoning"):
        talk.insert(-1, ["reasoning", _cut(reasoning, length)])
    return talk


def _words(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    parts = [] if content is None else [content if isinstance(content, str) else _json(content)]
    parts += [_json(message[name]) for name in ("tool_calls", "refusal") if name in message]
    return "\n".join(parts)


def _carried(row: RowRecord) -> list[list[str]] | None:
    known = [(name, value) for name, value in row.get("carried", {}).items() if value is not None]
    return [[_cut(name, 60), _cut(_json(value), _SHORT)] for name, value in known[:_MOST_CARRIED]] or None


def _json(value: Any) -> str:
    return value if isinstance(value, str) else lossless_json.dumps(value).decode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}… ({len(text) - length:,} more characters)"
