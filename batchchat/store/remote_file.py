"""An output that is one object: it replaces the one that this run has put there before, and no other."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from batchchat.object_store.bucket import CONFLICTS, StoredObject
from batchchat.object_store.failures import ObjectStoreError
from batchchat.object_store.threads import interruptible
from batchchat.store.remote_note import Publication, UploadedFile, new_id
from batchchat.store.remote_output import RemoteOutput, RemoteResult

__all__ = ["RemoteFileOutput"]

_SUFFIX = ".parquet"


class RemoteFileOutput(RemoteOutput):
    """The output is the object of the URL."""

    def _publish(self, path: Path) -> RemoteResult:
        note, file = self._note, UploadedFile.of(path, self._url.key, self._note.hashes)
        there = self._bucket.head(file.key)
        if there is not None and note.published is not None and there.is_identical(note.published.identity):
            if note.published.content == [file.sha256]:
                return self._result(file)
        elif there is not None:
            raise self._lose(note.pending or Publication("", (file,)))
        if note.pending is None or note.pending.content != [file.sha256]:
            note.pending = Publication(new_id(), (file,))
            self._save()
        self._upload(note.pending, path, there)
        note.published, note.pending = note.pending, None
        self._save()
        return replace(self._result(file), uploaded=True)

    def _upload(self, publication: Publication, path: Path, there: StoredObject | None) -> None:
        """Put the file in place of what is `there`."""

        def put() -> StoredObject:
            replaces = None if there is None else there.identity
            try:
                return self._bucket.put(self._url.key, path, replaces=replaces, mark=publication.id)
            except ObjectStoreError as error:
                # An answer that was lost: the put was tried again, and met what it had done itself.
                if error.failure not in CONFLICTS or (own := self._own(publication)) is None:
                    raise
                return own

        try:
            self._note.pending = replace(publication, identity=interruptible(put).identity)
        except ObjectStoreError as error:
            if error.failure in CONFLICTS:
                raise self._lose(publication) from None
            raise

    def _own(self, publication: Publication) -> StoredObject | None:
        """The object, where it is `publication`."""
        there = self._bucket.head(self._url.key)
        return there if there is not None and self._bucket.marked(self._url.key) == publication.id else None

    def _adopt(self) -> None:
        pending = self._note.pending
        if pending is not None and (there := self._own(pending)) is not None:
            self._note.published, self._note.pending = replace(pending, identity=there.identity), None

    def _is_foreign(self) -> bool:
        there, published = self._bucket.head(self._url.key), self._note.published
        return there is not None and (published is None or not there.is_identical(published.identity))

    def _keep_what_is_there(self) -> list[str]:
        """Copy it to a dated name: it stays in its place until the new result replaces it."""
        key = self._url.key
        if (there := self._bucket.head(key)) is None:
            return []
        dated = f"{key.removesuffix(_SUFFIX)}.{time.strftime('%Y-%m-%dT%H-%M-%S')}{_SUFFIX}"
        self._bucket.copy(key, dated)
        self._note.published = Publication("", (), identity=there.identity)
        return [self._url.at(dated).shown]

    def _discard(self, publication: Publication) -> None:
        """Do nothing: an object is there whole, as the result, or not at all."""

    def _probe_key(self, name: str) -> str:
        return f"{self._url.key}.{name}"

    def _result(self, file: UploadedFile) -> RemoteResult:
        return RemoteResult(self.shown, 1, file.size, leftovers=len(self._note.discarded))
