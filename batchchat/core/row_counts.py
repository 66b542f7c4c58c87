"""How the rows of a job stand: the one form that run.json, `status`, the report and the summary give them in."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RowCounts"]


class RowCounts(NamedTuple):
    """The rows of a job's input: `answered`, `failed` and `invalid` ones, and those `left`, which have no record yet.

    `left` is None while the end of the input was not seen. `cut_off` and `undecided` rows are answered ones: cut off
    are those whose reply ended at the limit of its tokens, undecided those whose request has changed since.
    """

    answered: int = 0
    failed: int = 0
    invalid: int = 0
    left: int | None = None
    cut_off: int = 0
    undecided: int = 0

    @property
    def finished(self) -> int:
        """Rows that have a record."""
        return self.answered + self.failed + self.invalid

    @property
    def total(self) -> int | None:
        """Rows of the input; None where that is not known."""
        return None if self.left is None else self.finished + self.left

    def json(self) -> dict[str, int | None]:
        """The object `rows` of every JSON; the sums in it add up."""
        return {"total": self.total, **self._asdict()}
