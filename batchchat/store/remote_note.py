"""What a run folder notes about its output in an object store, before each step that a kill could interrupt.

With it the next run knows which objects are its own: what stands as the result, what was on its way there, and what is
to be deleted.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from batchchat import lossless_json
from batchchat.errors import OutputError
from batchchat.job.paths import PUBLISHED
from batchchat.store.atomic import replacing

__all__ = ["NAME", "Publication", "RemoteNote", "UploadedFile", "new_id", "published_in", "read_note", "write_note"]

NAME = "remote.json"
_CHUNK = 1 << 20
_SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A local file that goes to the store as the object `key`; `stamp` says whether it was written since."""

    key: str
    size: int
    sha256: str
    stamp: str

    @classmethod
    def of(cls, path: Path, key: str, hashes: Mapping[str, str]) -> UploadedFile:
        """The file at `path`, which is read unless `hashes` has its stamp. Raises `OSError`."""
        stat = path.stat()
        stamp = f"{path.name}-{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
        if (before := hashes.get(stamp)) is not None:
            return cls(key, stat.st_size, before, stamp)
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return cls(key, size, digest.hexdigest(), stamp)


@dataclass(frozen=True, slots=True)
class Publication:
    """Files that become the result together: `id` is never used twice.

    `identity` is what the store knows the result by: of a file its ETag and version, of parts nothing, since their
    manifest is never replaced. `number` is the manifest's.
    """

    id: str
    files: tuple[UploadedFile, ...]
    number: int = 0
    identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> list[str]:
        """Two publications with equal contents have the same bytes."""
        return [file.sha256 for file in self.files]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def new_id() -> str:
    """An id that no publication has had."""
    return secrets.token_hex(6)


@dataclass(slots=True)
class RemoteNote:
    """The note of a run: `base` is the number of the newest manifest that was there before this run's first.

    `pending` may be in the store as a whole, in part, or not at all; `previous` is kept for those who still read it.
    The objects `discarded`, or all below such a name with a slash at its end, are to be deleted.
    """

    url: str
    base: int = 0
    pending: Publication | None = None
    published: Publication | None = None
    previous: Publication | None = None
    discarded: list[str] = field(default_factory=list)

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes of the local files that are known, by their stamps."""
        publications = (self.pending, self.published)
        return {
            file.stamp: file.sha256
            for publication in publications
            if publication is not None
            for file in publication.files
        }


def read_note(folder: Path) -> RemoteNote | None:
    """The note in the run `folder`; None where there is none. Raises `OutputError` for one that can't be read."""
    try:
        raw = lossless_json.loads((folder / NAME).read_bytes())
        return RemoteNote(
            url=raw["url"],
            base=raw["base"],
            pending=_publication(raw["pending"]),
            published=_publication(raw["published"]),
            previous=_publication(raw["previous"]),
            discarded=[*raw["discarded"]],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise OutputError(
            f"{folder / NAME} can't be read: {reason}. It says which objects in the store are this run's. Restore it,"
            " or name another `output.path`."
        ) from None


def published_in(folder: Path) -> Path | None:
    """The output of the run `folder` that goes to an object store from there; None where there is no such note."""
    try:
        note = read_note(folder) if folder.suffix == ".run" else None
    except OutputError:
        return None
    return None if note is None else folder / f"{PUBLISHED}{_SUFFIX if note.url.endswith(_SUFFIX) else ''}"


def write_note(folder: Path, note: RemoteNote) -> None:
    """Replace the note in `folder`; it is on disk afterwards. Raises `MachineError`."""
    with replacing(folder / NAME) as building:
        building.write_bytes(lossless_json.dumps({"format": 1, **asdict(note)}) + b"\n")


def _publication(raw: Any) -> Publication | None:
    if raw is None:
        return None
    files = tuple(UploadedFile(file["key"], file["size"], file["sha256"], file["stamp"]) for file in raw["files"])
    return Publication(raw["id"], files, raw["number"], dict(raw["identity"]))
