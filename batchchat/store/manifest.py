"""The manifest of an output of several parts in an object store: the parts are the result once it is there.

`<output>/manifest-000001.json` and on: the one with the highest number is the result, and is never replaced. A reader
who goes by it sees a whole run or none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from batchchat import lossless_json
from batchchat.store.remote_note import Publication
from batchchat.text.times import iso_utc
from batchchat.version import __version__

__all__ = ["manifest_key", "manifest_of", "parts_prefix", "publication_id"]


def manifest_key(output: str, number: int) -> str:
    """The key of a manifest of the output whose keys begin with `output`."""
    return f"{output}/manifest-{number:06}.json"


def parts_prefix(output: str, publication: str) -> str:
    """What the keys of the parts of a `publication` begin with, without a slash at the end."""
    return f"{output}/parts/{publication}"


def manifest_of(output: str, publication: Publication, rows: Sequence[int], e_tags: Mapping[str, str | None]) -> bytes:
    """The manifest of `publication`, whose files have that many `rows` each; their paths are relative to `output`."""
    parts: list[dict[str, Any]] = [
        {
            "path": file.key.removeprefix(f"{output}/"),
            "rows": count,
            "bytes": file.size,
            "sha256": file.sha256,
            "e_tag": e_tags[file.key],
        }
        for file, count in zip(publication.files, rows, strict=True)
    ]
    manifest = {
        "format": 1,
        "number": publication.number,
        "publication": publication.id,
        "written_by": f"batchchat {__version__}",
        "written_at": iso_utc(time.time()),
        "rows": sum(rows),
        "bytes": publication.size,
        "parts": parts,
    }
    return lossless_json.dumps(manifest) + b"\n"


def publication_id(manifest: bytes) -> str | None:
    """The id of the publication of `manifest`; None where it is none of ours."""
    try:
        content = lossless_json.loads(manifest)
    except ValueError:
        return None
    name = content.get("publication") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None
