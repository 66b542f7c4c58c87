"""What is known of the run behind an output: how it stands, what stopped it, when it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchchat.core.run_figures import running_s
from batchchat.core.totals import OffRowCosts, Totals
from batchchat.errors import OutputError
from batchchat.results.status import RunPhase, status_of
from batchchat.text.run_sentence import Standing

__all__ = ["RunInfo", "info_of_output", "info_of_run", "sessions_of"]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """`state`, `stopped_by` and `reason` are those of `status --json`, None where the run folder is gone.

    `total` counts the input's rows, and `left` those without a record, None where that is not known; `sessions` are the
    beginning and end of each run in seconds since the epoch, empty where an older output does not tell them. With
    `since_s` it is about the rows that ended since then.
    """

    state: str | None = None
    stopped_by: str | None = None
    reason: str | None = None
    total: int | None = None
    left: int | None = None
    undecided: int = 0
    outdated: int = 0
    estimated_total: int | None = None
    sessions: Sequence[Sequence[float]] = ()
    since_s: float | None = None

    @property
    def running_s(self) -> float | None:
        """The time of all runs, without the pauses between them; None where it is not known."""
        return running_s(self.sessions) if self.sessions else None

    def standing(self, totals: Totals) -> Standing:
        """How the job stands whose finished rows are `totals`; the sums of its rows add up."""
        left = self.left if self.total is None else max(0, self.total - totals.finished)
        rows = totals.counts(left, self.undecided)
        return Standing(
            self.state,
            self.stopped_by,
            rows,
            self.outdated,
            self.reason,
            self.estimated_total,
            self.running_s,
            self.since_s,
        )


def info_of_run(output: Path, sessions: Sequence[Sequence[float]]) -> RunInfo:
    """What the run folder of `output` tells, which ran in `sessions`."""
    with suppress(OutputError):
        status = status_of(output, str(output))
        if status.phase is RunPhase.WITHOUT_STATE:
            return RunInfo(sessions=sessions)
        state = status.state
        rows = state["rows"]
        return RunInfo(
            state=state["state"],
            stopped_by=state["stopped_by"],
            reason=state["reason"],
            total=rows["total"],
            left=rows["left"],
            undecided=rows["undecided"] or 0,
            outdated=state["outdated"] or 0,
            estimated_total=state["estimated_total"],
            sessions=sessions,
        )
    return RunInfo(sessions=sessions)


def info_of_output(metadata: Mapping[str, Any]) -> RunInfo:
    """What an output says of its run, where the run folder is gone."""
    ended = metadata.get("ended") or {}
    return RunInfo(
        state=ended.get("state"),
        stopped_by=ended.get("stopped_by"),
        left=OffRowCosts.of_fields(metadata.get("beside", {})).left,
        sessions=sessions_of(metadata),
    )


def sessions_of(metadata: Mapping[str, Any]) -> Sequence[Sequence[float]]:
    """When the runs behind an output ran, as its metadata says."""
    sessions: Sequence[Sequence[float]] = metadata.get("sessions", ())
    return sessions
