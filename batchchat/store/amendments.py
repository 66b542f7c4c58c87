"""The `amend` record: a finished row has another key or other passthrough columns than its `row` record says.

Nothing was sent or paid for it. It has the new `id`, `variant`, `sample`, `place`, `ordinal` and `carried`, the key
that the row had before (`of`), and the journal offset of its `row` record (`row`): the answer is not written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from batchchat.core.conversation import Key
from batchchat.core.record import RowRecord, record_head
from batchchat.store.line_reader import LineReader

__all__ = ["amendment", "previous_key", "read_row"]


def amendment(
    key: Key, identity: int, *, of: Key, row: int, place: str, ordinal: int, passthrough: Mapping[str, Any]
) -> dict[str, Any]:
    """The record that gives the finished row of the key `of`, whose `row` record is at `row`, to `key`."""
    return {
        **record_head("amend", key, identity),
        "of": list(of),
        "row": row,
        "place": place,
        "ordinal": ordinal,
        "carried": dict(passthrough),
    }


def previous_key(record: Mapping[str, Any]) -> Key:
    """The key that the row of an `amend` record had before."""
    return Key(*record["of"])


def read_row(lines: LineReader, journal_offset: int) -> tuple[RowRecord, int]:
    """The row whose `row` or `amend` record is at `journal_offset`, and its length in bytes."""
    record, length = lines.read(journal_offset)
    if record["kind"] != "amend":
        return cast("RowRecord", record), length
    row, length = lines.read(record["row"])
    amended = {name: record[name] for name in ("id", "variant", "sample", "place", "ordinal", "carried")}
    return cast("RowRecord", {**row, **amended}), length
