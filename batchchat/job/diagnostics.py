"""Diagnostics: what is wrong in a job, and where.

A diagnostic names the location, the value that is there and the way out. A reader of values raises `RefusedError`
with all diagnostics of its value; `load` collects them, sorts them in file order and raises them as one `JobError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from batchchat.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Diagnostic", "RefusedError", "SourceLocation", "job_error"]


class SourceLocation(NamedTuple):
    """Where a value is written: `jobs/chef.yaml:9`, or `--set retry.max_wait=5`.

    `order` sorts locations: those of the file by line and column, then those of the command line.
    """

    where: str
    order: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def in_file(cls, path: str, line: int, column: int) -> SourceLocation:
        """A location in the job file; line and column count from 0, as PyYAML's marks do."""
        return cls(f"{path}:{line + 1}", (0, line, column))

    @classmethod
    def of_option(cls, label: str, index: int) -> SourceLocation:
        """The `index`-th option of the command line; options come after the file."""
        return cls(label, (1, index, 0))


class Diagnostic(NamedTuple):
    """One thing that is wrong: its location and a sentence for the user."""

    location: SourceLocation
    sentence: str


class RefusedError(Exception):
    """A value that is not accepted, with all its diagnostics. Never raised out of this package."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*(diagnostic.sentence for diagnostic in diagnostics))
        self.diagnostics = diagnostics


def job_error(diagnostics: Iterable[Diagnostic]) -> JobError:
    """The error a user reads: `diagnostics` in file order, without duplicates."""
    ordered = sorted(diagnostics, key=lambda diagnostic: diagnostic.location.order)
    lines = (f"{diagnostic.location.where}: {diagnostic.sentence}" for diagnostic in ordered)
    return JobError(list(dict.fromkeys(lines)))
