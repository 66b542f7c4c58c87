"""Which parts of an answered row's request have changed since: the conversation, the model, the params. Pure.

A record has the conversation and the model that were sent, and the fingerprint of the whole request: the params are the
same where the old conversation and model give that fingerprint together with the present params.
"""

from __future__ import annotations

from batchchat import lossless_json
from batchchat.core.attempt import Request
from batchchat.core.record import RowRecord
from batchchat.endpoint.wire import fingerprint_of

__all__ = ["PARTS", "changed_parts"]

CONVERSATION, MODEL, PARAMS = PARTS = ("conversation", "model", "params")


def changed_parts(record: RowRecord, request: Request) -> list[str]:
    """Those of `PARTS` in which `request` is another than the one that `record` answers."""
    parts = []
    if record.get("messages") != request.messages:
        parts.append(CONVERSATION)
    if record.get("model") != request.model:
        parts.append(MODEL)
    content = lossless_json.loads(request.body)
    content |= {"messages": record.get("messages"), "model": record.get("model")}
    if f"{fingerprint_of(content):016x}" != record["fp"]:
        parts.append(PARAMS)
    return parts
