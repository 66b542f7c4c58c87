"""What became of the lines of a batch's output file that was imported."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ImportCounts"]


@dataclass(slots=True)
class ImportCounts:
    """Counts of the lines of `file`, whose blank ones are none; of each group the first few, in words.

    `answered` and `failed` lines are now rows of the job. `kept` rows have a record already, `unfinished` ones take
    more than one request. `unknown` lines are of no good row of the job, `repeated` ones of a row that an earlier line
    has answered, `malformed` ones can't be read. `missing` rows of the job are in no line of the file.
    """

    file: str
    lines: int = 0
    answered: int = 0
    failed: int = 0
    kept: int = 0
    unfinished: int = 0
    unknown: int = 0
    repeated: int = 0
    malformed: int = 0
    missing: int | None = None
    first_unknown: tuple[str, ...] = ()
    first_repeated: tuple[str, ...] = ()
    first_malformed: tuple[str, ...] = ()
    first_unfinished: tuple[str, ...] = ()

    @property
    def left_out(self) -> int:
        """The lines that were not taken in, and are not in the job already."""
        return self.unknown + self.repeated + self.malformed + self.unfinished

    def json(self) -> dict[str, Any]:
        """The counts for `--json`."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("first_")}
