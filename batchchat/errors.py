"""The error tree: everything a person or an endpoint can do wrong, with the exit code of each branch.

    BatchchatError
    ├── UsageError      2   bad usage, job, input or output: nothing was sent
    │   ├── JobError        the job file or an override of it; carries every fault found
    │   ├── InputError      an input that can't be read, or has no good row
    │   └── OutputError     an output that can't be written, is not ours, is in use, or needs a decision
    ├── BudgetError     4   the job's own bounds stop the run: `budget.max_cost` or `budget.stop_at`
    ├── EndpointError   5   the endpoint stops the run: key, quota, unknown model, outage, all rows failing
    └── MachineError    6   this machine stops the run: disk, journal

The texts are for people: each names the thing and the way out, and none holds a secret. A failed request is a row,
not an error; a signal ends a run with 128 + its number; any other exception is a defect of ours and exits 1.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "EXIT_DEFECT",
    "EXIT_OK",
    "EXIT_ROWS_FAILED",
    "BatchchatError",
    "BudgetError",
    "EndpointError",
    "InputError",
    "JobError",
    "MachineError",
    "NoEndpointError",
    "OutputError",
    "UsageError",
    "error_of_machine",
    "refuse_pipe",
]

EXIT_OK = 0
EXIT_DEFECT = 1
EXIT_ROWS_FAILED = 3


class BatchchatError(Exception):
    """The root. `str()` of it is what the user reads after `error: `."""

    exit_code: int = EXIT_DEFECT
    """What the command exits with where it ends with this error."""


class UsageError(BatchchatError):
    """Bad usage, job, input or output; nothing was sent."""

    exit_code = 2


class JobError(UsageError):
    """A job file that doesn't hold together. All that is wrong is in it, in the order of the file."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        """A sentence for each thing that is wrong."""


class NoEndpointError(JobError):
    """The file of endpoints that a job names has none. `batchchat run` waits for one."""

    def __init__(self, fault: str, file: str, max_wait_s: float, problems: Sequence[str] = ()) -> None:
        super().__init__([fault])
        self.file = file
        """The file, as the job names it."""
        self.max_wait_s = max_wait_s
        """How long the job waits for an endpoint, in seconds: its `retry.max_outage`."""
        self.problems: tuple[str, ...] = tuple(problems)
        """What is wrong with the lines that the file has."""


class InputError(UsageError):
    """An input that can't be read, or has no good row."""


class OutputError(UsageError):
    """An output that can't be written, is not ours, is in use by another run, or needs a decision first."""


class BudgetError(BatchchatError):
    """The job's own bounds, on money or time, stopped the run; finished rows are kept."""

    exit_code = 4


class EndpointError(BatchchatError):
    """The endpoint stopped the run; finished rows are kept."""

    exit_code = 5


class MachineError(BatchchatError):
    """This machine stopped the run (disk, journal); finished rows are kept."""

    exit_code = 6


_RIGHTS = "Give this user the right to it, or name another path."
_GONE = "The file system does not answer: mount it again, or name another path."
_ROOM = "Free space, or name another path."
_WAYS_OUT = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "It is mounted read-only: mount it for writing, or name another path.",
    errno.ENAMETOOLONG: "Shorten the name.",
    errno.ELOOP: "It is a link that leads to itself: remove it, or name another path.",
    errno.ENOTCONN: _GONE,
    errno.ESTALE: _GONE,
    errno.EIO: _GONE,
    errno.ENODEV: _GONE,
    errno.ENXIO: _GONE,
    errno.EHOSTDOWN: _GONE,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`), or lower `concurrency`.",
    errno.ENFILE: "Close other programs: the machine has no file left to open.",
    errno.ENOMEM: "Free memory.",
    errno.EAGAIN: "Raise the limit on processes (`ulimit -u`), or close other programs.",
    errno.ENOENT: "",
    errno.ENOTDIR: "",
    errno.EISDIR: "",
}
_BREAKS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What is no mistake in a path: exit 6 whenever it happens."""


def error_of_machine(error: BaseException, *, sent: bool) -> BatchchatError | None:
    """The error for the user where the operating system has raised `error`; None where it is a defect of ours.

    It is a `UsageError` while nothing was `sent`, unless the disk breaks or is full.
    """
    note = " Every row reported as done is kept; run the same command again." if sent else ""
    if isinstance(error, MemoryError):
        return MachineError(f"this machine has no memory left. Free some, or lower `concurrency`.{note}")
    if not isinstance(error, OSError) or (error.filename is None and error.errno not in _WAYS_OUT):
        return None
    code = error.errno or 0
    name = "this machine" if error.filename is None else os.fsdecode(error.filename)
    reason = (error.strerror or str(error)).splitlines()[0].rstrip(".")
    sentence = f"{name}: {reason}. {_WAYS_OUT.get(code, 'Name another path, or correct that.')}".rstrip()
    return MachineError(sentence + note) if sent or code in _BREAKS else UsageError(sentence)


def refuse_pipe(path: Path) -> None:
    """Raise an `OSError` where `path` is a pipe, socket or terminal: reading it could wait for ever."""
    mode = path.stat().st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode):
        raise OSError(errno.EINVAL, "it is a pipe, socket or device, and no file", str(path))
