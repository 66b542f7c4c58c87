"""The addresses of an endpoint, derived from its base URL; pure."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

__all__ = ["allowance_url", "completions_url", "costs_url", "models_url"]


def completions_url(base_url: str) -> str:
    """The chat completions address of `base_url`; its query (Azure's `api-version`) is kept."""
    return _below(base_url, "chat/completions")


def models_url(base_url: str) -> str:
    """The address of the list of models of `base_url`; its query is kept."""
    return _below(base_url, "models")


def allowance_url(base_url: str) -> str:
    """Where DeepInfra, and servers that follow it, give the limits of an account: next to `/v1` of `base_url`."""
    return _below_v1(base_url, "me/rate_limit")


def costs_url(base_url: str) -> str:
    """Where the same endpoints give what they billed."""
    return _below_v1(base_url, "request-costs")


def _below(base_url: str, name: str) -> str:
    parts = urlsplit(base_url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def _below_v1(base_url: str, name: str) -> str:
    parts = urlsplit(base_url)
    head, separator, _ = parts.path.rpartition("/v1")
    return urlunsplit(parts._replace(path=f"{head if separator else ''}/v1/{name}", query=""))
