"""The number in the name of a manifest: of the manifests of an output the highest one says what its result is."""

from __future__ import annotations

import re

__all__ = ["manifest_number"]

_NAME = re.compile(r"manifest-([0-9]{6,})\.json")


def manifest_number(key: str) -> int | None:
    """The number of the manifest `key`; None for any other object."""
    match = _NAME.fullmatch(key.rpartition("/")[2])
    return None if match is None else int(match[1])
