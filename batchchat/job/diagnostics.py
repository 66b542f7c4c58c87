"""Faults: where something is wrong in a job, and the sentence that says so.

A fault names its place, what stands there and the way out. A reader of values raises `RefusedError` with
all it found; `load` gathers them, sorts them in file order and hands them to the user as one `JobError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchchat.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Diagnostic", "RefusedError", "SourceLocation", "job_error"]


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where a value is written: `jobs/chef.yaml:9`, or `--set retry.max_wait=5`.

    `order` sorts places as one reads.
    """

    where: str
    order: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def in_file(cls, path: str, line: int, column: int) -> SourceLocation:
        """A place in the job file; line and column count from 0, as PyYAML's marks do."""
        return cls(f"{path}:{line + 1}", (0, line, column))

    @classmethod
    def of_option(cls, label: str, index: int) -> SourceLocation:
        """The `index`-th option of the command line; options come after the file."""
        return cls(label, (1, index, 0))


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong."""

    place: SourceLocation
    sentence: str


class RefusedError(Exception):
    """A value that is not taken, with every fault found in it. Never leaves this package."""

    def __init__(self, *faults: Diagnostic) -> None:
        super().__init__(*(fault.sentence for fault in faults))
        self.faults = faults


def job_error(faults: Iterable[Diagnostic]) -> JobError:
    """`faults` as the error a user reads: in file order, each once."""
    ordered = sorted(faults, key=lambda fault: fault.place.order)
    return JobError(list(dict.fromkeys(f"{fault.place.where}: {fault.sentence}" for fault in ordered)))
