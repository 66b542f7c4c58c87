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
    "OutputError",
    "UsageError",
]

EXIT_OK = 0
EXIT_DEFECT = 1
EXIT_ROWS_FAILED = 3


class BatchchatError(Exception):
    """The root. `str()` of it is what the user reads after `error: `."""

    exit_code: int = EXIT_DEFECT


class UsageError(BatchchatError):
    """Bad usage, job, input or output; nothing was sent."""

    exit_code = 2


class JobError(UsageError):
    """A job file that doesn't hold together. `faults` has one sentence for each thing wrong, in file order."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


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
