"""Which `response_format` rows begin with at an endpoint: one that it has refused is tried by no later row; pure.

What a model has accepted once it is not refused by: a later refusal is about its row.
"""

from __future__ import annotations

from batchchat.core.response_format import ResponseFormat

__all__ = ["FormatLadder"]


class FormatLadder:
    """Begins with `first` for every model; it only goes down."""

    def __init__(self, first: ResponseFormat = ResponseFormat.JSON_SCHEMA) -> None:
        self._first = first
        self._present: dict[str, ResponseFormat] = {}
        self._accepted: set[tuple[str, ResponseFormat]] = set()

    def present(self, model: str) -> ResponseFormat:
        """What a request to `model` has now."""
        return self._present.get(model, self._first)

    def accept(self, model: str, response_format: ResponseFormat) -> None:
        """A request to `model` with `response_format` was answered."""
        self._accepted.add((model, response_format))

    def refuse(self, model: str, response_format: ResponseFormat) -> bool:
        """The endpoint refused `response_format` for `model`; True where later rows begin with another for that."""
        present = self.present(model)
        is_news = present.is_stricter_than(response_format.fallback)
        if not is_news or (model, response_format) in self._accepted:
            return False
        self._present[model] = response_format.fallback
        return True
