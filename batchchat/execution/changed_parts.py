"""Which parts of an answered row's request have changed since: conversation, model, params, what is expected. Pure.

A record has the conversation and the model that were sent, and the fingerprint of the whole request: the params are the
same where the old conversation and model give that fingerprint together with the present params. Of a conversation
whose turns were played the replies in it are left out: its first messages and the user's further turns were sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchchat import lossless_json
from batchchat.core.attempt import Script
from batchchat.core.conversation import Message
from batchchat.core.record import RowRecord
from batchchat.endpoint.wire import fingerprint_of
from batchchat.script.checked import CheckedScript
from batchchat.script.turns import identity_of

__all__ = ["PARTS", "changed_parts"]

CONVERSATION, MODEL, PARAMS, EXPECT, EITHER = PARTS = ("conversation", "model", "params", "expect", "params or expect")


def changed_parts(record: RowRecord, script: Script) -> list[str]:
    """Those of `PARTS` in which `script` is another than the one that `record` answers."""
    plain = script.inner if isinstance(script, CheckedScript) else script
    salt, request, turns = script.identity ^ plain.identity, plain.preview[0], script.row.turns
    content, fingerprint = lossless_json.loads(request.body), int(record["fp"], 16)
    messages, model = record.get("messages"), record.get("model")
    same: int | None = None
    sent: tuple[list[Message] | None, list[Message]] = messages, []
    for first, later in _ways_to_split(messages):
        content |= {"messages": first, "model": model}
        identity = identity_of(fingerprint_of(content), later)
        if fingerprint in {identity, identity ^ salt}:
            same, sent = identity, (first, later)
            break
        if len(later) == len(turns):
            sent = first, later
    parts = []
    if sent != (request.messages, list(turns)):
        parts.append(CONVERSATION)
    if model != request.model:
        parts.append(MODEL)
    if same is None:
        # Which schema an answer was checked with is not recorded.
        parts.append(EITHER if salt else PARAMS)
    elif same ^ salt != fingerprint:
        parts.append(EXPECT)
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
