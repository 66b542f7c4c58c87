"""Rows that can't be answered: longer than their model's context, by an exact count. They fail without a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchchat.core.attempt import Failure, Request
from batchchat.core.conversation import ErrorKind, Row
from batchchat.core.record import RowRecord, record_of_unsent
from batchchat.tokens.context_window import ContextWindow, TooLong

__all__ = ["ContextCheck"]


class ContextCheck:
    """Looks at each row that is to be sent; `params` are the job's own."""

    def __init__(self, context: ContextWindow, params: Mapping[str, Any]) -> None:
        self._context = context
        self._params = params

    def too_long(self, row: Row, request: Request) -> TooLong | None:
        """What is too long about `row`, whoever counted it."""
        params = {**self._params, **row.params} if row.params else self._params
        return self._context.too_long(request, params)

    def refused(self, row: Row, request: Request) -> RowRecord | None:
        """The record of a row that is not sent; None where it fits, or nobody can tell for certain."""
        found = self.too_long(row, request)
        if found is None or not found.exact:
            return None
        text = f"{found.description} (counted exactly: {found.counted_by}); nothing was sent"
        return record_of_unsent(row, request, Failure(ErrorKind.CONTEXT_LENGTH, text))
