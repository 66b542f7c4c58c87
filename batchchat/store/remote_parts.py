"""An output of several parts: uploaded under names that are never used twice, and made the result by a manifest.

The parts of a publication lie below `<output>/parts/<number>-<id>/`, and nothing else does. Its manifest is put where
there is none yet: of two runs, one wins. The result before it stays for those who still read it; older ones go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from batchchat.object_store.bucket import CONFLICTS
from batchchat.object_store.failures import ObjectStoreError
from batchchat.object_store.threads import in_parallel
from batchchat.store.manifest import manifest_key, manifest_number, manifest_of, parts_prefix, publication_id
from batchchat.store.output_files import files_of
from batchchat.store.parquet import rows_in
from batchchat.store.remote_note import Publication, UploadedFile, new_id
from batchchat.store.remote_output import RemoteOutput, RemoteResult

__all__ = ["RemotePartsOutput"]

_AT_ONCE = 4


class RemotePartsOutput(RemoteOutput):
    """The output is all that lies below the URL."""

    def _publish(self, path: Path) -> RemoteResult:
        note, newest = self._note, self._newest()
        own = note.base if note.published is None else note.published.number
        if newest > own:
            raise self._lose(note.pending or Publication("", ()))
        paths = files_of(path)
        publication = self._begun(paths, newest)
        if publication == note.published:
            return self._result(publication)
        e_tags = self._upload(publication, path)
        rows = [rows_in(part) for part in paths]
        self._make_result(publication, manifest_of(self._url.key, publication, rows, e_tags))
        if note.previous is not None:
            self._discard(note.previous)
        note.previous, note.published, note.pending = note.published, publication, None
        self._save()
        if note.discarded:
            self._clean()
            self._save()
        return replace(self._result(publication), uploaded=True)

    def _begun(self, paths: Sequence[Path], newest: int) -> Publication:
        """The publication of the files `paths`: the one that is the result, the one that was begun, or a new one."""
        note, number = self._note, newest + 1
        name = f"{number:06}-{new_id()}"
        prefix = parts_prefix(self._url.key, name)
        files = tuple(UploadedFile.of(path, f"{prefix}/{path.name}", note.hashes) for path in paths)
        publication = Publication(name, files, number)
        before = note.published
        if before is not None and before.number == newest and before.content == publication.content:
            return before
        if note.pending is not None:
            if note.pending.number == number and note.pending.content == publication.content:
                return note.pending
            self._discard(note.pending)
        note.pending = publication
        self._save()
        return publication

    def _upload(self, publication: Publication, path: Path) -> dict[str, str | None]:
        """Put the parts that are not there; returns the ETags of all."""
        prefix = parts_prefix(self._url.key, publication.id)
        stored = {part.key: part for part in self._bucket.below(prefix)}
        missing = [file for file in publication.files if file.key not in stored or stored[file.key].size != file.size]

        def put(file: UploadedFile) -> None:
            # The name is this publication's alone, and so is the content: a second put of it changes nothing.
            stored[file.key] = self._bucket.put(file.key, path / file.key.rpartition("/")[2], overwrite=True)

        in_parallel(put, missing, _AT_ONCE)
        return {file.key: stored[file.key].e_tag for file in publication.files}

    def _make_result(self, publication: Publication, manifest: bytes) -> None:
        """Put the manifest. Raises `MachineError` where another run has put one."""
        key = manifest_key(self._url.key, publication.number)
        try:
            self._bucket.put(key, manifest)
        except ObjectStoreError as error:
            if error.failure not in CONFLICTS:
                raise
            # An answer that was lost: the put was tried again, and met what it had done itself.
            if publication_id(self._bucket.get(key)) != publication.id:
                raise self._lose(publication) from None
        if self._newest() > publication.number:  # others have published more than once since it was looked at
            self._note.discarded.append(key)
            raise self._lose(publication)

    def _newest(self) -> int:
        """The number of the manifest that is the result; 0 where there is none."""
        numbers = (manifest_number(stored.key) for stored in self._bucket.beside(self._url.key))
        return max((number for number in numbers if number is not None), default=0)

    def _adopt(self) -> None:
        note, pending = self._note, self._note.pending
        if pending is None or self._newest() != pending.number:
            return
        if publication_id(self._bucket.get(manifest_key(self._url.key, pending.number))) == pending.id:
            if note.previous is not None:
                self._discard(note.previous)
            note.previous, note.published, note.pending = note.published, pending, None

    def _is_foreign(self) -> bool:
        published = self._note.published
        return self._newest() > (self._note.base if published is None else published.number)

    def _keep_what_is_there(self) -> list[str]:
        """Count on from it: its parts and its manifest have names of their own."""
        self._note.base = self._newest()
        return [self._url.at(manifest_key(self._url.key, self._note.base)).shown] if self._note.base else []

    def _discard(self, publication: Publication) -> None:
        """The manifest goes before its parts: one that is there has all of them."""
        if publication == self._note.previous:
            self._note.discarded.append(manifest_key(self._url.key, publication.number))
        if publication.id:
            self._note.discarded.append(f"{parts_prefix(self._url.key, publication.id)}/")

    def _probe_key(self, name: str) -> str:
        return f"{self._url.key}/{name}"

    def _result(self, publication: Publication) -> RemoteResult:
        at = self._url.at
        return RemoteResult(
            f"{at(parts_prefix(self._url.key, publication.id)).shown}/*.parquet",
            len(publication.files),
            publication.size,
            at(manifest_key(self._url.key, publication.number)).shown,
            leftovers=len(self._note.discarded),
        )
