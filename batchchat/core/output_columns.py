"""What a job needs to know of an output that it reads as its input: how one is recognized, and which columns it has.

`store/columns.py` declares the columns; a test holds the names here to them.
"""

from __future__ import annotations

__all__ = ["CARRIED", "FRAME_ROW", "KEY_COLUMNS", "METADATA", "TECHNICAL"]

METADATA = b"batchchat"
"""The key of the Parquet schema's metadata under which an output keeps its own."""

FRAME_ROW = "batchchat_frame_row"
"""The column with a row's number in the DataFrame that it comes from; it is no part of what the row is known by."""

KEY_COLUMNS = ("id", "variant", "sample")
"""The columns that tell an output's rows apart."""

CARRIED = frozenset({*KEY_COLUMNS, "response", "parsed", "reference", "model"})
"""Columns of an output that a job reading it copies to its own output, unless `input.columns` says which."""

TECHNICAL = frozenset(
    {
        "status",
        "finish_reason",
        "messages",
        "messages_json",
        "tool_calls",
        "parse_repaired",
        "re_asks",
        "logprobs",
        "endpoint",
        "reasoning",
        "refusal",
        "model_requested",
        "service_tier",
        "response_id",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "cost_usd",
        "cost_source",
        "attempts",
        "possibly_billed_attempts",
        "latency_s",
        "first_token_s",
        "wait_s",
        "started_at",
        "finished_at",
        "http_status",
        "error_kind",
        "error",
        "raw",
    }
)
"""The others: how the answer came about. They are read, and copied only where `input.columns` names them."""
