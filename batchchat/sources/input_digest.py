"""A hash of all bytes of an input's files: whether the input is the one that an earlier run has read.

Of an object in a store its ETag and size tell that, and nothing is read. A run reads it by that ETag only, so that it
can't change within the run.

Size and time of a file are no proof of that over days: it can be replaced by another of both. Within a run they are,
together with the time that no program can set, so that the files are hashed once, and not at each look.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchchat.sources.files import InputFile

__all__ = ["InputDigest"]

_BLOCK = 1 << 20
_TICK_NS = 20_000_000
_COARSE_TICK_NS = 2_000_000_000
"""A file may change twice within a tick of its file system's clock, and have the same time."""


class InputDigest:
    """The digest of `files` as they are now, in their order and with their names.

    Where one was written just now, this waits for the next tick of its clock, 20 ms at most.
    """

    def __init__(self, files: Sequence[InputFile]) -> None:
        self._files = tuple(files)
        self._local = [file.path for file in files if isinstance(file.path, Path)]
        self._remote = [file.path for file in files if not isinstance(file.path, Path)]
        self._opened = self._status()
        self._settled = self._is_settled(time.time_ns())
        if not self._settled:
            time.sleep(_TICK_NS / 1e9)
            self._opened = self._status()
            self._settled = self._is_settled(time.time_ns())
        self._digest: str | None = None

    def digest(self) -> str | None:
        """SHA-256 in hex digits; None where a file is not as it was, or can't be read. It blocks: 1 s for 1.4 GB."""
        if not self.is_current():
            return None
        if self._digest is None:
            if any(remote.identity is None for remote in self._remote):
                return None
            whole = hashlib.sha256()
            try:
                for file in self._files:
                    named = (file.as_given, file.label, file.kind.name, file.packing.name, self._content(file))
                    whole.update(repr(named).encode("utf-8", "surrogatepass"))
            except OSError:
                return None
            if not self.is_current():
                return None
            self._digest = whole.hexdigest()
        return self._digest

    def give_up(self) -> None:
        """Let a digest that is not made yet be None: whoever waits for it goes on at once."""
        if self._digest is None:
            self._settled = False

    def is_current(self) -> bool:
        """Whether the files are as they were when this was made."""
        return self._settled and self._status() == self._opened

    def _content(self, file: InputFile) -> str:
        """SHA-256 of the file; of a part of it where that is given up. Of an object in a store what identifies it."""
        path = file.path
        if not isinstance(path, Path):
            return f"{path.url.scheme}: {path.identity}"
        content, block = hashlib.sha256(), bytearray(_BLOCK)
        with memoryview(block) as view, path.open("rb", buffering=0) as opened:
            while self._settled and (count := opened.readinto(view)):
                content.update(view[:count])
        return content.hexdigest()

    def _status(self) -> list[tuple[int, ...]] | None:
        try:
            status = [path.stat() for path in self._local]
        except OSError:
            return None
        return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in status]

    def _is_settled(self, now_ns: int) -> bool:
        """Whether a change from now on would change a time of its file."""
        if self._opened is None:
            return False
        changed = max((max(status[3:]) for status in self._opened), default=0)
        is_coarse = any(status[4] % 1_000_000_000 == 0 for status in self._opened)
        return now_ns - changed > (_COARSE_TICK_NS if is_coarse else _TICK_NS)
