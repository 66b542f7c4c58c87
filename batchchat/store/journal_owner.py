"""Which process ships a journal: a marker object, so that two machines do not both go on with one run."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchchat import lossless_json
from batchchat.errors import OutputError
from batchchat.object_store.bucket import CONFLICTS, ObjectBucket
from batchchat.object_store.failures import ObjectStoreError
from batchchat.text.times import iso_utc

__all__ = ["JournalOwner"]


class JournalOwner:
    """The marker `key` of the copy that messages call `shown`; the run folder `folder` is locked by this process."""

    def __init__(self, key: str, shown: str, folder: Path, bucket: ObjectBucket) -> None:
        self._key = key
        self._shown = shown
        self._folder = str(folder.resolve())
        self._bucket = bucket
        self._identity: Mapping[str, str] = {}

    def claim(self, *, takes_over: bool) -> None:
        """Put the marker. Raises `OutputError` where another machine's is there, unless this one `takes_over`."""
        there = self._bucket.head(self._key)
        if there is not None and not takes_over:
            owner = self._read()
            if owner is not None and (owner.get("host"), owner.get("folder")) != (socket.gethostname(), self._folder):
                raise OutputError(self._in_use(owner))
        marker = {
            "host": socket.gethostname(),
            "folder": self._folder,
            "pid": os.getpid(),
            "since": iso_utc(time.time()),
        }
        replaces = None if there is None else there.identity
        try:
            stored = self._bucket.put(self._key, lossless_json.dumps(marker) + b"\n", replaces=replaces)
        except ObjectStoreError as error:
            if error.failure not in CONFLICTS:
                raise
            raise OutputError(self._in_use(self._read() or {})) from None
        self._identity = stored.identity

    @property
    def is_own(self) -> bool:
        """Whether the marker is still the one that this process has put."""
        there = self._bucket.head(self._key)
        return there is not None and (there.e_tag == self._identity.get("e_tag"))

    def release(self) -> None:
        """Delete the marker; it is still this process's."""
        self._bucket.delete([self._key])

    def _read(self) -> dict[str, Any] | None:
        try:
            owner = lossless_json.loads(self._bucket.get(self._key))
        except ValueError:
            return None
        except ObjectStoreError:
            return None  # it was just deleted
        return owner if isinstance(owner, dict) else None

    def _in_use(self, owner: Mapping[str, Any]) -> str:
        who = f"pid {owner['pid']} on {owner['host']} since {owner['since']}" if "since" in owner else "another process"
        return (
            f"{self._shown} is the journal of {who}, which goes on with this run or has vanished. If it has vanished,"
            " --yes continues the run here."
        )
