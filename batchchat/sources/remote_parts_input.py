"""Outputs of batchchat in a folder of a store that is read as input: of each the parts of its newest manifest.

A store has the parts of several runs, and of one that goes on, beside one another: only a manifest says which are the
result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from batchchat import lossless_json
from batchchat.errors import InputError
from batchchat.object_store.failures import translated
from batchchat.object_store.manifest_number import manifest_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from obstore import ObjectMeta

    from batchchat.object_store.url import ObjectUrl

__all__ = ["only_results"]

_PART = re.compile(r"(|.*?/)parts/[0-9]{6,}-[0-9a-f]{12}/[^/]+\.parquet")


def only_results(url: ObjectUrl, store: Any, items: Sequence[ObjectMeta]) -> Sequence[ObjectMeta]:
    """Those of `items`, which are below `url`, that are no manifest, and no part of anything but a result.

    Raises `InputError` for an output without a result, or one that changes, and `ObjectStoreError`.
    """
    for output in sorted({match[1] for item in items if (match := _PART.fullmatch(item["path"]))}):
        items = _only_result(url, store, items, output)
    return items


def _only_result(url: ObjectUrl, store: Any, items: Sequence[ObjectMeta], output: str) -> Sequence[ObjectMeta]:
    """The same for the output whose keys begin with `output`."""
    shown = url.at(output).shown
    numbers = {
        item["path"]: number
        for item in items
        if item["path"].rpartition("/")[0] == output.rstrip("/")
        and (number := manifest_number(item["path"])) is not None
    }
    if not numbers:
        raise InputError(
            f"{shown} has parts of a run and no manifest: the job that writes it has no result yet. Run that to its end"
            " first."
        )
    newest = max(numbers, key=numbers.__getitem__)
    parts = {f"{output}{path}" for path in _paths(url, store, newest)}
    if missing := parts - {item["path"] for item in items}:
        raise InputError(
            f"{url.at(min(missing)).shown} is not there, and {url.at(newest).shown} names it. Another run may have"
            " replaced that result just now: run the same command again."
        )
    others = f"{output}parts/"
    return [
        item
        for item in items
        if item["path"] in parts or not (item["path"] in numbers or item["path"].startswith(others))
    ]


def _paths(url: ObjectUrl, store: Any, key: str) -> list[str]:
    """The paths of the parts that the manifest `key` names."""
    import obstore

    with translated(url.at(key)):
        content = bytes(obstore.get(store, key).bytes())
    try:
        return [str(part["path"]) for part in lossless_json.loads(content)["parts"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{url.at(key).shown} is no manifest of batchchat. Name the objects instead.") from None
