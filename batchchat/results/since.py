"""The rows of a run that ended since a moment: `report --since TIME|last-run`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from batchchat.core.record import RowRecord
from batchchat.core.totals import OffRowCosts
from batchchat.errors import UsageError
from batchchat.job.stop_at import duration_s, moment, time_of_day
from batchchat.results.column_arrays import Bools, floats, mask_array
from batchchat.results.reader import Results
from batchchat.results.run_info import RunInfo
from batchchat.text import numbers

__all__ = ["LAST_RUN", "Since"]

LAST_RUN = "last-run"
_ENDED = "finished_at"


@dataclass(frozen=True, slots=True)
class Since:
    """`text` is `last-run`, a date, a date and time, a time of day or a duration, as seen from `now`.

    Raises `UsageError` where it is none of these, or in the future.
    """

    text: str
    now: float

    def __post_init__(self) -> None:
        if self.text != LAST_RUN and self._moment() > self.now:
            raise UsageError(f"--since {self.text} is in the future. Give a time that has passed.")

    def of(self, results: Results) -> Results:
        """`results` with only the rows that ended since then.

        Costs outside the rows have no time and are left out. Raises `UsageError` where it is not known when the last
        run began.
        """
        if self.text == LAST_RUN and not results.run.sessions:
            raise UsageError(
                f"{numbers.shown_path(results.output)} does not say when its last run began. Give --since a time."
            )
        since_s = results.run.sessions[-1][0] if self.text == LAST_RUN else self._moment()

        def columns(names: Collection[str]) -> Iterator[Any]:
            for batch in results.columns({*names, _ENDED}):
                yield batch.filter(mask_array(_ended_since(batch, since_s))).select(
                    [name for name in batch.schema.names if name in names]
                )

        def rows_at(positions: Sequence[int]) -> Iterator[tuple[int, RowRecord]]:
            ended = np.concatenate(
                [np.zeros(0, bool), *(_ended_since(batch, since_s) for batch in results.columns({_ENDED}))]
            )
            originals = np.nonzero(ended)[0][list(positions)].tolist()
            shown = dict(zip(originals, positions, strict=True))
            return ((shown[original], row) for original, row in results.rows_at(originals))

        return replace(
            results,
            rows=lambda: ((row, size) for row, size in results.rows() if row.get("finished_at", 0.0) >= since_s),
            columns=columns,
            rows_at=rows_at,
            off_row_costs=OffRowCosts(),
            run=RunInfo(sessions=_sessions_since(results.run.sessions, since_s), since_s=since_s),
        )

    def _moment(self) -> float:
        if (ago_s := duration_s(self.text)) is not None:
            return self.now - ago_s
        if (clock := time_of_day(self.text)) is not None:
            today = datetime.combine(datetime.fromtimestamp(self.now).date(), clock)  # noqa: DTZ006 (local time)
            return (today if today.timestamp() <= self.now else today - timedelta(days=1)).timestamp()
        if (date_or_time := moment(self.text, or_date=True)) is not None:
            return date_or_time.timestamp()
        raise UsageError(
            f"--since {self.text} is no time. It takes `{LAST_RUN}`, a date and time (2026-03-01T18:00), a time of day"
            " (18:00) or how long ago (2h)."
        )


def _ended_since(batch: pa.RecordBatch, since_s: float) -> Bools:
    """A mask of the rows of `batch` that ended since then; rows that were never sent have no time."""
    ended: Bools = floats(batch.column(_ENDED)) >= since_s * 1e6  # NaN, where there is none, is not
    return ended


def _sessions_since(sessions: Sequence[Sequence[float]], since_s: float) -> list[list[float]]:
    return [[max(start, since_s), end] for start, end in sessions if end >= since_s]
