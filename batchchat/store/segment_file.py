"""The segment that a run writes, and how it notices that another process writes the same journal.

The run's lock keeps a second process out, but a lock file can be removed, and some network file systems don't show one
host the locks of another. So nothing here cuts or continues what somebody else may be writing:

- The segment itself is locked while it is open.
- It is continued, and its torn tail cut off, only if it is the file that was replayed, of the size that it had then.
- After a run on another host a new segment is begun.
- Before each write the file must be as the last write left it, and be the last segment. Where it isn't, `intrusion`
  says so, and what is still to be written goes to a segment of its own where somebody else has written to this one.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from batchchat.errors import OutputError
from batchchat.store.durable import sync_folder
from batchchat.store.file_lock import NO_LOCKS, is_locked
from batchchat.store.segments import (
    NOTHING,
    AsReplayed,
    journal_offset,
    offset_of,
    segment_of,
    segment_path,
    segments,
)

__all__ = ["WAY_OUT", "ResumePoint", "SegmentFile", "segment_in_use"]

WAY_OUT = "End one of the two, then run the same command again: it has what both have kept."

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_RETRIES = 100
_RETRY_PAUSE_S = 0.002
_COPIED_BYTES = 1 << 20


class ResumePoint(NamedTuple):
    """Where a journal is continued: behind the journal offset `end`, in the segment of that.

    `replayed` is what that segment was when it was read, None where that doesn't matter. With `apart` a new segment is
    begun, since that one may be another host's. With `shared` other processes of the same run write segments of theirs.
    """

    end: int = journal_offset(1, 0)
    replayed: AsReplayed | None = None
    apart: bool = False
    shared: bool = False


class SegmentFile:
    """The open segment, in which bytes are appended from `point` on; used by one thread at a time.

    Raises `OutputError` where another process has it.
    """

    def __init__(
        self,
        folder: Path,
        point: ResumePoint,
        write: Callable[[int, Any], int],
        sync: Callable[[int], None],
    ) -> None:
        self._folder = folder
        self._write = write
        self._sync = sync
        self._shared = point.shared
        self.intrusion: str | None = None
        """How it was noticed that another process writes the journal; None while it was not."""
        if point.apart and segments(folder):
            self.number, self._descriptor = self._new_segment()
            self.size = 0
            return
        self.number, self.size = segment_of(point.end), offset_of(point.end)
        self._descriptor = os.open(self._path, _FLAGS, 0o644)
        try:
            sync_folder(folder)
            self._check(point.replayed)
            os.ftruncate(self._descriptor, self.size)
            if self.size and os.pread(self._descriptor, 1, self.size - 1) != b"\n":
                self._append(b"\n")
        except BaseException:
            self.close()
            raise

    def _check(self, replayed: AsReplayed | None) -> None:
        """Lock the open file. Raises `OutputError` where another process has it, or has written since `replayed`."""
        status = os.fstat(self._descriptor)
        now = AsReplayed(status.st_size, status.st_dev, status.st_ino)
        same = replayed is None or now == replayed or (replayed == NOTHING and not now.size)
        if not same or not _locked(self._descriptor):
            raise OutputError(f"another process writes to {self._path}. {WAY_OUT}")

    def append(self, *data: bytes) -> tuple[int, int]:
        """Write and sync all of `data`; return the number of the segment and the offset where it is.

        Raises `OSError` where the disk refuses it; the segment is then as it was.
        """
        if self.intrusion is None:
            self._look_for_others()
        at = self.size
        self._append(*data)
        if self.intrusion is None and os.fstat(self._descriptor).st_size != self.size:
            # Somebody has written at the same moment: where `data` is in the file is not known.
            self.intrusion = self._grown
            self._continue_apart()
            at = self.size
            self._append(*data)
        return self.number, at

    def roll(self) -> None:
        """Continue in the next segment."""
        number, descriptor = self._new_segment()
        os.close(self._descriptor)
        self.number, self.size, self._descriptor = number, 0, descriptor

    def close(self) -> None:
        """Close the segment, which unlocks it."""
        os.close(self._descriptor)

    @property
    def _path(self) -> Path:
        return segment_path(self._folder, self.number)

    @property
    def _grown(self) -> str:
        return f"another process writes to {self._path} too"

    def _append(self, *data: bytes) -> None:
        size = sum(map(len, data))
        try:
            for part in data:
                view = memoryview(part)
                while view:
                    view = view[self._write(self._descriptor, view) :]
            self._sync(self._descriptor)
        except OSError:
            # Only what this call can have written is cut off.
            if self.size <= os.fstat(self._descriptor).st_size <= self.size + size:
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += size

    def _look_for_others(self) -> None:
        """Set `intrusion` if another process writes the journal, and continue where it doesn't."""
        own = os.fstat(self._descriptor)
        try:
            named = self._path.stat()
        except OSError:
            self.intrusion = f"{self._path} was moved or removed while the run wrote to it"
        else:
            if not os.path.samestat(own, named):
                self.intrusion = f"{self._path} was replaced by another file while the run wrote to it"
            elif own.st_size != self.size:
                self.intrusion = self._grown
                self._continue_apart()
                return
            elif not self._shared and segment_path(self._folder, self.number + 1).exists():
                self.intrusion = f"another process has begun {segment_path(self._folder, self.number + 1)}"
        if self.intrusion is not None and not own.st_nlink:
            self._rescue()

    def _continue_apart(self) -> None:
        """Continue in a segment that no other process has."""
        number, descriptor = self._new_segment()
        os.close(self._descriptor)
        self.number, self.size, self._descriptor = number, 0, descriptor

    def _rescue(self) -> None:
        """Copy the segment, which no name leads to any more, to a new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        number, descriptor = self._new_segment()
        at = 0
        while data := os.pread(self._descriptor, min(_COPIED_BYTES, self.size - at), at):
            at += os.write(descriptor, data)
        os.close(self._descriptor)
        self.number, self.size, self._descriptor = number, at, descriptor

    def _new_segment(self) -> tuple[int, int]:
        """The number and the descriptor of a segment that was not there."""
        number = max(segments(self._folder), default=0) + 1
        while True:
            try:
                descriptor = os.open(segment_path(self._folder, number), _FLAGS | os.O_EXCL, 0o644)
            except FileExistsError:
                number += 1
                continue
            _locked(descriptor)
            sync_folder(self._folder)
            return number, descriptor


def segment_in_use(folder: Path) -> bool:
    """Whether a process has a segment of the journal in `folder` open for writing; a pipe there is nobody's.

    Where several processes wrote, any of the segments may be that of the last one.
    """
    return any(is_locked(segment_path(folder, number)) for number in reversed(segments(folder)))


def _locked(descriptor: int) -> bool:
    """Lock a segment; False where another process has it. A file system without locks counts as locked."""
    for _ in range(_RETRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_RETRY_PAUSE_S)  # `segment_in_use` has it for a moment
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return True
        else:
            return True
    return False
