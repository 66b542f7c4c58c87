"""Rows that can't be answered: longer than their model's context, by an exact count. They fail without a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchchat.core.attempt import Failure, Request, Script
from batchchat.core.conversation import ErrorKind
from batchchat.core.record import RowRecord, record_of_unsent
from batchchat.tokens.context_window import ContextWindow, TooLong

__all__ = ["ContextCheck", "unfit_for"]


class ContextCheck:
    """Looks at each row that is to be sent."""

    def __init__(self, context: ContextWindow) -> None:
        self._context = context

    def too_long(self, script: Script) -> TooLong | None:
        """Which of the requests that `script` is known to make is too long; None where all fit."""
        for request in script.preview:
            if (too_long := self._context.too_long(request, script.params)) is not None:
                return too_long
        return None

    def refused(self, script: Script) -> RowRecord | None:
        """The record of a row that is not sent; None where it fits, or the count is not exact."""
        too_long = self.too_long(script)
        if too_long is None or not too_long.exact:
            return None
        from batchchat.script.replay import unsent

        failure = _failure(too_long, "nothing was sent")
        return record_of_unsent(unsent(script, (), failure), script.identity)


def unfit_for(context: ContextWindow, request: Request, params: Mapping[str, Any]) -> Failure | None:
    """Why `request`, a later one of its row, can't be answered; None where it fits, or the count is not exact."""
    too_long = context.too_long(request, params)
    return None if too_long is None or not too_long.exact else _failure(too_long, "it was not sent")


def _failure(too_long: TooLong, end: str) -> Failure:
    text = f"{too_long.description} (counted exactly: {too_long.counted_by}); {end}"
    return Failure(ErrorKind.CONTEXT_LENGTH, text)
