"""What becomes of each row, given what the journal has of it: kept or sent, and why. Pure.

the journal has          the request is      then
nothing, or invalid                          send: new
answered or failed       any                 send, where --resend asks for the row
answered                 the same            keep
answered                 another             keep or send as the user says; undecided without a word
failed                   the same            keep
failed                   another             send: its request changed

A row that would be sent shares the answer of an earlier row instead, where the job wants equal requests sent once.
"""

from __future__ import annotations

from enum import Enum

from batchchat.core.conversation import Status

__all__ = ["Disposition", "OnChanged", "disposition"]


class OnChanged(Enum):
    """What the user wants done with rows answered to another request."""

    ASK = "ask"
    KEEP = "keep"
    RESEND = "resend"


class Disposition(Enum):
    """What becomes of a row."""

    KEEP = "keep"
    KEEP_CHANGED = "keep, though its request changed"
    SEND_NEW = "new"
    SEND_FAILED = "failed before"
    SEND_AGAIN = "answered, and asked for again"
    SEND_CHANGED = "its request changed"
    SHARE = "the answer of an earlier row with an equal request"
    UNDECIDED = "answered, and its request changed"
    LATER = "to be sent, but not now: a pilot sends its own rows alone"

    # Each row is counted under one: an enum's own hash is Python code.
    __hash__ = object.__hash__

    @property
    def sends(self) -> bool:
        """Whether the row is sent."""
        # Identities, not a set: an enum's hash is Python code, and this is asked for every row.
        return (
            self is Disposition.SEND_NEW
            or self is Disposition.SEND_FAILED
            or self is Disposition.SEND_CHANGED
            or self is Disposition.SEND_AGAIN
        )


def disposition(status: str, *, same_request: bool, resend: bool, changed: OnChanged) -> Disposition:
    """What becomes of a good row whose record has `status` (empty: none); with `resend` the user asks for it again."""
    if status == Status.ANSWERED:
        if resend:
            return Disposition.SEND_AGAIN
        if same_request:
            return Disposition.KEEP
        return {
            OnChanged.ASK: Disposition.UNDECIDED,
            OnChanged.KEEP: Disposition.KEEP_CHANGED,
            OnChanged.RESEND: Disposition.SEND_CHANGED,
        }[changed]
    if status == Status.FAILED:
        if resend:
            return Disposition.SEND_FAILED
        return Disposition.KEEP if same_request else Disposition.SEND_CHANGED
    return Disposition.SEND_NEW
