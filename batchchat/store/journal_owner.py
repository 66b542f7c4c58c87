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
from batchchat.store.remote_note import new_id
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
        if not self._put(None if there is None else there.identity):
            raise OutputError(self._in_use(self._read() or {}))

    def _put(self, replaces: Mapping[str, str] | None) -> bool:
        """Put the marker where none is, or in place of the one it `replaces`; False where another one is there."""
        marker = {
            "host": socket.gethostname(),
            "folder": self._folder,
            "pid": os.getpid(),
            "since": iso_utc(time.time()),
            "claim": new_id(),
        }
        content = lossless_json.dumps(marker) + b"\n"
        try:
            self._identity = self._bucket.put(self._key, content, replaces=replaces).identity
        except ObjectStoreError as error:
            if error.failure not in CONFLICTS:
                raise
            # An answer that was lost: the put was tried again, and met what it had done itself.
            there = self._bucket.head(self._key)
            if there is None or self._read() != marker:
                return False
            self._identity = there.identity
        return True

    @property
    def is_own(self) -> bool:
        """Whether the marker is still the one that this process has put."""
        there = self._bucket.head(self._key)
        return there is not None and there.is_identical(self._identity)

    def renew(self) -> bool:
        """Put the marker again where somebody has deleted it; False where another one is there."""
        return self._bucket.head(self._key) is None and self._put(None)

    def taken_over(self) -> str:
        """The sentences that say who goes on with the run."""
        owner = self._read() or {}
        return (
            f"{self._shown}, the journal of this run, was taken over by {_named(owner)}, which goes on with the run or"
            " has ended it. Every row reported as done is kept on this machine. Once the other has ended, run the same"
            " command again: it goes on from what both have kept."
        )

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
        return (
            f"{self._shown} is the journal of {_named(owner)}, which goes on with this run or has vanished. If it has"
            " vanished, --yes continues the run here."
        )


def _named(owner: Mapping[str, Any]) -> str:
    return f"pid {owner['pid']} on {owner['host']} since {owner['since']}" if "since" in owner else "another process"
