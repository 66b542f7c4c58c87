"""How a request asks the endpoint for JSON: `response_format`, and what is tried where an endpoint refuses it."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["RESPONSE_FORMAT", "ResponseFormat"]

RESPONSE_FORMAT = "response_format"
"""The field of a request that asks for JSON."""


class ResponseFormat(StrEnum):
    """What a request has as `response_format`, from the strictest on; with `NONE` the prompt alone asks for JSON."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    NONE = "none"

    @property
    def fallback(self) -> ResponseFormat:
        """What is tried where an endpoint refuses this one; `NONE` for itself, which no endpoint can refuse."""
        return ResponseFormat.JSON_OBJECT if self is ResponseFormat.JSON_SCHEMA else ResponseFormat.NONE

    def is_stricter_than(self, alternative: ResponseFormat) -> bool:
        """Whether this one is tried before `alternative`."""
        order = list(ResponseFormat)
        return order.index(self) < order.index(alternative)
