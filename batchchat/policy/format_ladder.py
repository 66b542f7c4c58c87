"""Which `response_format` rows begin with at an endpoint: one that it has refused is tried by no later row; pure.

What a model has accepted once it is not refused by: a later refusal is about its row. Of several endpoints each has its
own; `endpoint` is the name of one, None where the run has but one.
"""

from __future__ import annotations

from batchchat.core.response_format import ResponseFormat

__all__ = ["FormatLadder"]


class FormatLadder:
    """Begins with `first` for every model; it only goes down."""

    def __init__(self, first: ResponseFormat = ResponseFormat.JSON_SCHEMA) -> None:
        self._first = first
        self._loosest: dict[str, ResponseFormat] = {}
        self._present: dict[tuple[str, str], ResponseFormat] = {}
        self._accepted: set[tuple[str | None, str, ResponseFormat]] = set()

    def present(self, model: str, endpoint: str | None = None) -> ResponseFormat:
        """What a request to `model` has now at `endpoint`; without a name, what all endpoints take."""
        if endpoint is None:
            return self._loosest.get(model, self._first)
        return self._present.get((endpoint, model), self._first)

    def accept(self, model: str, response_format: ResponseFormat, endpoint: str | None = None) -> None:
        """A request to `model` with `response_format` was answered."""
        self._accepted.add((endpoint, model, response_format))

    def refuse(self, model: str, response_format: ResponseFormat, endpoint: str | None = None) -> bool:
        """`response_format` was refused for `model`; True where later rows begin with another for that."""
        fallback = response_format.fallback
        is_news = self.present(model, endpoint).is_stricter_than(fallback)
        if not is_news or (endpoint, model, response_format) in self._accepted:
            return False
        if endpoint is not None:
            self._present[endpoint, model] = fallback
        if self.present(model).is_stricter_than(fallback):
            self._loosest[model] = fallback
        return True
