"""The objects that a URL in `input.path` names, by the rules that hold for files on this machine.

`s3://bucket/in/` is a folder, `s3://bucket/in/*.jsonl` a pattern, anything else one object. A web server lists nothing,
so that a URL of it is one file. A listing tells sizes and ETags; of each object only the first bytes are read.
"""

from __future__ import annotations

import glob
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from batchchat.errors import InputError
from batchchat.object_store.failures import ObjectStoreError, StoreFailure, translated
from batchchat.object_store.opening import open_store
from batchchat.object_store.threads import in_parallel
from batchchat.object_store.url import WEB, ObjectUrl, parse_url
from batchchat.sources.file_types import file_kind
from batchchat.sources.glob_match import matches_glob
from batchchat.sources.ignored import folder_description, is_ignored, is_in_run_folder
from batchchat.sources.remote_object import HEAD_BYTES, RemoteObject, refusing, validators

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from obstore import GetOptions, ObjectMeta

__all__ = ["find_remote", "has_pattern"]

_FIRST_PATIENCE_S = 10.0
"""How long a store that does not answer is asked before anything was sent; later it is asked for minutes."""
_PATIENCE_S = 120.0
_AT_ONCE = 16
_RANGE_NOT_SATISFIABLE = "HTTP 416"


def find_remote(texts: Sequence[str], environ: Mapping[str, str]) -> list[tuple[list[RemoteObject], str]]:
    """The objects that each URL of `texts` names, in the order of their keys, and a description of the entry.

    The credentials are in `environ`.

    Raises `InputError` where there is none, or a store can't be read.
    """
    stores = _Stores(environ)
    return in_parallel(lambda text: _find(_parsed(text), stores), texts, _AT_ONCE)


class _Stores:
    """The stores that were opened; one for each bucket, since each has its own connections."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._stores: dict[tuple[str, str, float], Any] = {}
        self._lock = Lock()

    def of(self, url: ObjectUrl, patience_s: float) -> Any:
        """The store of `url`, which is asked for up to `patience_s`."""
        place = (url.scheme, url.secret.reveal() if url.scheme in WEB else url.bucket, patience_s)
        with self._lock:
            if place not in self._stores:
                self._stores[place] = open_store(url, self._environ, patience_s=patience_s)
            return self._stores[place]


def _find(url: ObjectUrl, stores: _Stores) -> tuple[list[RemoteObject], str]:
    with refusing(begun=False):
        store, lasting = stores.of(url, _FIRST_PATIENCE_S), stores.of(url, _PATIENCE_S)
        if url.scheme in WEB:
            return [_one(url, store, lasting, "")], url.shown
        if has_pattern(url):
            listed, described = _matching(url, store), url.shown
        elif url.key == "" or url.key.endswith("/"):
            listed, described = _in_folder(url, store)
        else:
            return [_named(url, store, lasting)], url.shown

        def with_head(item: ObjectMeta) -> RemoteObject:
            remote = _object(url.at(item["path"]), lasting, item)
            return replace(remote, head=replace(remote, store=store).read(0, min(remote.size, HEAD_BYTES)))

        return in_parallel(with_head, listed, _AT_ONCE), described


def _parsed(text: str) -> ObjectUrl:
    try:
        return parse_url(text)
    except ValueError as error:
        raise InputError(f"`input.path` {error}") from None


def has_pattern(url: ObjectUrl) -> bool:
    """Whether the key of `url` is a pattern; a web server has none."""
    return url.scheme not in WEB and glob.has_magic(url.key)


def _one(url: ObjectUrl, store: Any, lasting: Any, key: str) -> RemoteObject:
    """The object at `key`, by one request for its first bytes; its size and ETag are in the reply."""
    import obstore

    def reply_to(options: GetOptions) -> RemoteObject:
        with translated(url):
            reply = obstore.get(store, key, options=options)
            head = bytes(reply.bytes()) if "range" in options else b""
            return replace(_object(url, lasting, reply.meta), key=key, head=head, has_ranges="range" in options)

    try:
        return reply_to({"range": (0, HEAD_BYTES)})
    except ObjectStoreError as error:
        is_empty = error.failure is StoreFailure.OTHER and error.detail == _RANGE_NOT_SATISFIABLE
        if not is_empty and error.failure is not StoreFailure.NO_RANGES:
            raise
    return reply_to({})


def _named(url: ObjectUrl, store: Any, lasting: Any) -> RemoteObject:
    try:
        return _one(url, store, lasting, url.key)
    except ObjectStoreError as error:
        if error.failure is StoreFailure.MISSING and _is_folder(url, store):
            raise InputError(f"{url.shown} is a folder, whose URL ends in a slash: {url.shown}/") from None
        raise


def _is_folder(url: ObjectUrl, store: Any) -> bool:
    try:
        return bool(_list(url, store, f"{url.key}/", limit=1))
    except ObjectStoreError:
        return False


def _object(url: ObjectUrl, store: Any, item: ObjectMeta) -> RemoteObject:
    etag, modified = validators(item)
    return RemoteObject(url, store, item["path"], item["size"], etag, modified)


def _list(url: ObjectUrl, store: Any, prefix: str, *, limit: int | None = None) -> list[ObjectMeta]:
    """The objects whose keys begin with `prefix`, which is empty or ends in a slash, sorted by key."""
    import obstore

    items: list[ObjectMeta] = []
    with translated(url):
        for batch in obstore.list(store, prefix or None, chunk_size=1000):
            items += batch
            if limit is not None and len(items) >= limit:
                break
    return sorted(items, key=lambda item: item["path"])


def _children(url: ObjectUrl, store: Any, prefix: str) -> list[ObjectMeta]:
    """The objects at `prefix`, without those in folders below it, sorted by key."""
    import obstore

    with translated(url):
        items = obstore.list_with_delimiter(store, prefix or None)["objects"]
    return sorted(items, key=lambda item: item["path"])


def _matching(url: ObjectUrl, store: Any) -> list[ObjectMeta]:
    parts = tuple(url.key.split("/"))
    wild = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    prefix = "".join(f"{part}/" for part in parts[:wild])
    is_last = wild == len(parts) - 1 and parts[-1] != "**"
    listed = _children(url, store, prefix) if is_last else _list(url, store, prefix)
    if exact := [item for item in listed if item["path"] == url.key]:
        return exact
    matches = [
        item
        for item in listed
        if matches_glob(tuple(item["path"].split("/")[wild:]), parts[wild:]) and not _is_marker(item)
    ]
    matches = [item for item in matches if not is_in_run_folder(item["path"], url.key)]
    if not matches:
        raise InputError(f"{url.shown}: no object matches. Check the pattern, or name the objects.")
    return matches


def _in_folder(url: ObjectUrl, store: Any) -> tuple[list[ObjectMeta], str]:
    files: list[ObjectMeta] = []
    unread = 0
    for item in _list(url, store, url.key):
        *folders, name = item["path"].removeprefix(url.key).split("/")
        if is_ignored(name, is_folder=False) or any(is_ignored(folder, is_folder=True) for folder in folders):
            continue
        if file_kind(name) is not None:
            files.append(item)
        elif not _is_marker(item):
            unread += 1
    return files, folder_description(url.shown, "object", len(files), unread, empty="has no objects")


def _is_marker(item: ObjectMeta) -> bool:
    """Whether an object only stands for a folder, as consoles make them."""
    return item["size"] == 0 and file_kind(item["path"]) is None
