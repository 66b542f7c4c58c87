"""The objects of one bucket: put whole, on a condition where that matters; listed, compared, deleted.

No multipart upload is ever begun, so that none can be left open: a put that is cut off leaves nothing. What is put is
mapped from its file, and takes no memory of this process.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.object_store.failures import ObjectStoreError, StoreFailure, translated
from batchchat.object_store.opening import check_installed, open_store
from batchchat.object_store.url import ObjectUrl

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["CONFLICTS", "ObjectBucket", "StoredObject"]

CONFLICTS = frozenset({StoreFailure.EXISTS, StoreFailure.CHANGED})
"""Why a put on a condition fails where somebody else has written the object."""
_MARK = "batchchatpublication"
"""The attribute of an object that names its publication: letters alone, which every store takes."""
_PATIENCE_S = 30.0
_UPLOAD_PATIENCE_S = 180.0
_REQUEST_S = 30.0
_MIN_BYTES_PER_S = 128 * 1024


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its store lists it; `e_tag` and `version` identify its content, as far as the store has them."""

    key: str
    size: int
    e_tag: str | None
    version: str | None

    @property
    def identity(self) -> dict[str, str]:
        """What a put that is to replace this very content names."""
        both = {"e_tag": self.e_tag, "version": self.version}
        return {name: value for name, value in both.items() if value is not None}

    def is_identical(self, identity: Mapping[str, str]) -> bool:
        """Whether it has the content that `identity` names: not every answer has both, the ETag and the version."""
        both = identity.keys() & self.identity.keys()
        return bool(both) and all(identity[name] == self.identity[name] for name in both)


class ObjectBucket:
    """The bucket of the output `url`, for writing, with the credentials of `environ`.

    Raises `UsageError` where obstore is not installed; every method raises `ObjectStoreError`.
    """

    def __init__(self, url: ObjectUrl, environ: Mapping[str, str]) -> None:
        check_installed(url)
        self._url = url
        self._environ = environ
        self._opened: ObjectStore | None = None

    @property
    def _store(self) -> ObjectStore:
        if self._opened is None:
            self._opened = self._open(_PATIENCE_S, _REQUEST_S)
        return self._opened

    def _open(self, patience_s: float, request_s: float) -> ObjectStore:
        return open_store(self._url, self._environ, patience_s=patience_s, request_s=request_s, verb="written")

    def put(
        self,
        key: str,
        content: bytes | Path,
        *,
        replaces: Mapping[str, str] | None = None,
        overwrite: bool = False,
        mark: str = "",
    ) -> StoredObject:
        """Put `content`, or that of a file, as the object `key`, and return it.

        Where the object is there already, the put fails with one of `CONFLICTS`, unless its identity is `replaces` or
        it may be `overwrite`n. `mark` is what `marked` gives back.
        """
        if isinstance(content, bytes):
            return self._put(self._store, key, content, _mode(replaces, overwrite=overwrite), mark)
        size = content.stat().st_size
        with content.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)  # closed with its last view, which obstore has
        store = self._open(_UPLOAD_PATIENCE_S, _REQUEST_S + size / _MIN_BYTES_PER_S)
        return self._put(store, key, memoryview(mapped), _mode(replaces, overwrite=overwrite), mark)

    def _put(self, store: ObjectStore, key: str, content: bytes | memoryview, mode: Any, mark: str) -> StoredObject:
        import obstore

        attributes: Any = {_MARK: mark} if mark else None
        with self._failing():
            try:
                result = obstore.put(store, key, content, attributes=attributes, mode=mode, use_multipart=False)
            except FileNotFoundError:  # where an object is made, it is the bucket that is not there
                raise ObjectStoreError(self._url, StoreFailure.NO_BUCKET) from None
        return StoredObject(key, len(content), result["e_tag"], result["version"])

    def head(self, key: str) -> StoredObject | None:
        """The object `key`; None where there is none."""
        import obstore

        with self._failing():
            try:
                return _stored(obstore.head(self._store, key))
            except FileNotFoundError:
                return None

    def marked(self, key: str) -> str | None:
        """The mark that the object `key` was put with."""
        import obstore

        with self._failing():
            attributes: Mapping[Any, Any] = obstore.get(self._store, key, options={"head": True}).attributes
        mark = attributes.get(_MARK)
        return None if mark is None else str(mark)

    def get(self, key: str) -> bytes:
        """The content of the object `key`."""
        import obstore

        with self._failing():
            return bytes(obstore.get(self._store, key).bytes())

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix` and a slash."""
        import obstore

        with self._failing():
            for chunk in obstore.list(self._store, prefix):
                yield from map(_stored, chunk)

    def beside(self, prefix: str) -> list[StoredObject]:
        """The objects whose key is `prefix`, a slash and a name without a slash."""
        import obstore

        with self._failing():
            return [_stored(meta) for meta in obstore.list_with_delimiter(self._store, prefix)["objects"]]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the objects `keys`, as far as they are there."""
        import obstore

        for key in keys:
            with self._failing():
                try:
                    obstore.delete(self._store, key)
                except FileNotFoundError:
                    continue

    def copy(self, key: str, target: str) -> None:
        """Copy the object `key` to `target`."""
        import obstore

        with self._failing():
            obstore.copy(self._store, key, target)

    def _failing(self) -> AbstractContextManager[None]:
        """Where what obstore raises becomes an `ObjectStoreError` about the URL of this bucket."""
        return translated(self._url, "written")


def _mode(replaces: Mapping[str, str] | None, *, overwrite: bool) -> Any:
    return "overwrite" if overwrite else dict(replaces) if replaces else "create"


def _stored(meta: Any) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["e_tag"], meta["version"])
