"""An output in an object store: what was published in the run folder is uploaded, and made the result in one step.

A run calls `check` before it sends anything, `start_over` where `--fresh` has set the old run aside, and `publish` at
its end. Each step is noted in the run folder before it is done, so that a run that was killed anywhere is picked up:
what is in the store already is not sent again, and what became nobody's result is deleted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batchchat.errors import MachineError, OutputError
from batchchat.object_store.bucket import CONFLICTS, ObjectBucket
from batchchat.object_store.failures import ObjectStoreError
from batchchat.object_store.url import ObjectUrl
from batchchat.store.output_files import files_of
from batchchat.store.remote_note import Publication, RemoteNote, new_id, read_note, write_note
from batchchat.text.numbers import size

__all__ = ["RemoteOutput", "RemoteResult"]

_MAX_BYTES = {"s3": 5 << 30, "az": 5000 << 20}


@dataclass(frozen=True, slots=True)
class RemoteResult:
    """What is the result in the store: `pattern` is the URL of its file, or a glob of its parts and nothing else.

    `manifest` is the URL that names the parts. `uploaded` says whether this run put it there; `leftovers` objects could
    not be deleted.
    """

    pattern: str
    files: int
    size: int
    manifest: str | None = None
    uploaded: bool = False
    leftovers: int = 0


class RemoteOutput(ABC):
    """The output at `url`, of the run whose folder is `folder`."""

    def __init__(self, url: ObjectUrl, folder: Path, bucket: ObjectBucket) -> None:
        self._url = url
        self._folder = folder
        self._bucket = bucket
        self._note = RemoteNote(url.shown)
        self.noted: Callable[[], None] = lambda: None
        """Called whenever the note on disk has changed, before what it says is done."""

    @property
    def shown(self) -> str:
        """The URL."""
        return self._url.shown

    def check(self, *, fresh: bool, other_url: bool = False) -> None:
        """Refuse an output that can't be written, or that is another run's.

        What earlier runs left half done is completed or deleted. With `fresh` another run's output is accepted, with
        `other_url` a run folder whose output went elsewhere before. Raises `OutputError`.
        """
        note = read_note(self._folder)
        if note is not None and note.url != self.shown:
            if not other_url and not fresh:
                raise OutputError(
                    f"{self._folder.name} is the run folder of {note.url}, and not of {self.shown}. Give the output"
                    " another name; or --yes continues that run, and its rows go to the new URL."
                )
            note = None
        self._note = note or RemoteNote(self.shown)
        try:
            self._probe()
            self._adopt()
            if not fresh and self._is_foreign():
                raise OutputError(
                    f"{self.shown} is there, and was not written by the run in {self._folder.name}, so it can't be"
                    " continued and its rows would be paid for again. Name another `output.path`, or run with --fresh,"
                    " which keeps it."
                )
            if fresh and self._note.pending is not None:
                self._discard(self._note.pending)
                self._note.pending = None
        except ObjectStoreError as error:
            raise OutputError(str(error)) from None
        self._clean()
        self._save()

    def start_over(self) -> list[str]:
        """Begin anew in the emptied run folder; returns the URLs of what was there before. Raises `OutputError`."""
        self._note = RemoteNote(self.shown)
        try:
            urls = self._keep_what_is_there()
        except ObjectStoreError as error:
            raise OutputError(str(error)) from None
        self._save()
        return urls

    def publish(self, path: Path) -> RemoteResult:
        """Make what is published at `path` the result.

        Raises `MachineError` where that fails, or where another run was faster: its result stands.
        """
        self._check_sizes(path)
        try:
            return self._publish(path)
        except ObjectStoreError as error:
            reason = str(error)
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}."
        raise MachineError(
            f"{reason} Every finished row is kept in {self._folder.name}. Run the same command again: nothing is sent"
            " twice, and what is missing in the store is uploaded."
        ) from None

    def _check_sizes(self, path: Path) -> None:
        """Raise `MachineError` for a file that the store does not take in one request."""
        limit = _MAX_BYTES.get(self._url.scheme)
        largest = max(file.stat().st_size for file in files_of(path))
        if limit is not None and largest > limit:
            raise MachineError(
                f"{self.shown} can't be written: a file has {size(largest)}, and the store takes {size(limit)} at"
                " most in one request. Every finished row is kept. Lower `output.part_rows`, with an `output.path`"
                " without .parquet, and run again with --yes: nothing is sent twice."
            )

    @abstractmethod
    def _publish(self, path: Path) -> RemoteResult: ...

    @abstractmethod
    def _adopt(self) -> None:
        """Note a publication that is the result already, where a kill came before that was noted."""

    @abstractmethod
    def _is_foreign(self) -> bool:
        """Whether there is a result that this run has not put there."""

    @abstractmethod
    def _keep_what_is_there(self) -> list[str]:
        """See to it that the present result is kept when this run publishes; returns the URLs where it is then."""

    @abstractmethod
    def _discard(self, publication: Publication) -> None:
        """Mark what there is of `publication` as to be deleted."""

    @abstractmethod
    def _probe_key(self, name: str) -> str:
        """The key of an object called `name` that no reader of the output looks at."""

    def _save(self) -> None:
        write_note(self._folder, self._note)
        self.noted()

    def _probe(self) -> None:
        """Write and delete an object, and see that the store refuses what must be refused.

        A store that ignores conditions would let one run replace another's result without a word.
        """
        key = self._probe_key(f"probe-{new_id()}")
        self._note.discarded.append(key)
        self._save()
        stored = self._bucket.put(key, b"batchchat tests whether it can write here\n")
        mismatch = {name: '"0"' if name == "e_tag" else "1" for name in stored.identity}
        conditions = ({},) if self._url.scheme == "gs" else ({}, mismatch)
        is_unsafe = any(self._puts(key, replaces) for replaces in conditions)
        self._clean()  # at once: a run that is refused for what it finds here leaves the store as it was
        self._save()
        if is_unsafe:
            raise OutputError(
                f"{self.shown} can't be written safely: the store ignores If-None-Match or If-Match, by which one"
                " run is kept from replacing another's result. Name an output on this machine, and copy it."
            )

    def _puts(self, key: str, replaces: dict[str, str]) -> bool:
        """Whether the object `key` can be put, though the condition does not hold."""
        try:
            self._bucket.put(key, b"this must be refused\n", replaces=replaces)
        except ObjectStoreError as error:
            if error.failure not in CONFLICTS:
                raise
            return False
        return True

    def _clean(self) -> int:
        """Delete what is to be deleted; returns how many of its entries could not be."""
        left = []
        for name in self._note.discarded:
            try:
                keys = [stored.key for stored in self._bucket.below(name[:-1])] if name.endswith("/") else [name]
                self._bucket.delete(keys)
            except ObjectStoreError:
                left.append(name)  # a user who may not delete; the next run tries again
        self._note.discarded = left
        return len(left)

    def _lose(self, publication: Publication) -> MachineError:
        """Give up `publication`, since another run has published; returns the error that says so."""
        self._discard(publication)
        self._note.pending = None
        self._save()
        self._clean()
        self._save()
        return MachineError(
            f"{self.shown} was written by another run while this one went on. Its result is kept, and nothing of this"
            f" run is there. Every finished row is kept; write them to a file with: batchchat export"
            f" {self._folder.name} -o FILE.parquet"
        )
