"""Which parts of an answered row's request have changed since: the conversation, the model, the params. Pure.

A record has the conversation and the model that were sent, and the fingerprint of the whole request: the params are the
same where the old conversation and model give that fingerprint together with the present params. Of a conversation
whose turns were played the replies in it are left out: its first messages and the user's further turns were sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchchat import lossless_json
from batchchat.core.attempt import Request
from batchchat.core.conversation import Message
from batchchat.core.record import RowRecord
from batchchat.endpoint.wire import fingerprint_of
from batchchat.script.turns import identity_of

__all__ = ["PARTS", "changed_parts"]

CONVERSATION, MODEL, PARAMS = PARTS = ("conversation", "model", "params")


def changed_parts(record: RowRecord, request: Request, turns: Sequence[Message] = ()) -> list[str]:
    """Those of `PARTS` in which `request`, with `turns` after it, is another than the one that `record` answers."""
    content, fingerprint = lossless_json.loads(request.body), int(record["fp"], 16)
    messages, model = record.get("messages"), record.get("model")
    same_params = False
    sent: tuple[list[Message] | None, list[Message]] = messages, []
    for first, later in _ways_to_split(messages):
        content |= {"messages": first, "model": model}
        if identity_of(fingerprint_of(content), later) == fingerprint:
            same_params, sent = True, (first, later)
            break
        if len(later) == len(turns):
            sent = first, later
    parts = []
    if sent != (request.messages, list(turns)):
        parts.append(CONVERSATION)
    if model != request.model:
        parts.append(MODEL)
    if not same_params:
        parts.append(PARAMS)
    return parts


def _ways_to_split(messages: list[Message] | None) -> Iterator[tuple[list[Message] | None, list[Message]]]:
    """`messages` as what was sent first and the user's turns that came later: none of them, the last one, and so on."""
    yield messages, []
    turns = list[Message]()
    end = len(messages or ())
    while messages and end > 2 and (messages[end - 2]["role"], messages[end - 1]["role"]) == ("assistant", "user"):  # noqa: PLR2004
        turns = [messages[end - 1], *turns]
        end -= 2
        yield messages[:end], turns
