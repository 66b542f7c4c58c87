"""What is reported of outputs side by side, by group: as one JSON object, as text, and as lines of a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchchat.reporting.flat import figures_csv
from batchchat.reporting.reconcile import reconcile_lines
from batchchat.reporting.tables import group_table, report_input_of, report_text
from batchchat.results.figures import Figures
from batchchat.results.reconciliation import Reconciliation
from batchchat.text.labelled import labelled_list
from batchchat.text.numbers import shown_path
from batchchat.text.times import iso_utc

__all__ = ["FiguresReport"]


@dataclass(frozen=True, slots=True)
class FiguresReport:
    """The figures of outputs, each by the values of the columns `by`.

    `billed` is what an endpoint billed, with its name, by the path of the output.
    """

    outputs: Sequence[Figures]
    by: Sequence[str] = ()
    billed: Mapping[Path, tuple[Reconciliation, str]] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The object that `report --json` prints."""
        return {"outputs": [self._output_json(figures) for figures in self.outputs]}

    def csv(self) -> bytes:
        """What `report --csv` writes: a line for each group, its values first, or for each output."""
        return figures_csv(self._lines())

    def text(self) -> str:
        """What `report` prints."""
        blocks = []
        for figures in self.outputs:
            path = shown_path(figures.output)
            blocks.append(report_text(report_input_of(figures, path)))
            if figures.output in self.billed:
                blocks.append(labelled_list(reconcile_lines(*self.billed[figures.output])))
            if self.by:
                blocks.append(group_table([f"by {self.by[0]}", *self.by[1:]], figures.groups))
        if len(self.outputs) > 1:
            rows = [((shown_path(figures.output),), figures.whole) for figures in self.outputs]
            blocks.append(group_table(["side by side"], rows))
        return "\n\n".join(blocks)

    def _lines(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        if not self.by:
            return [
                ({"path": shown_path(figures.output)}, figures.whole.json(figures.off_row_costs, figures.standing.rows))
                for figures in self.outputs
            ]
        several = len(self.outputs) > 1
        return [
            (
                dict(zip(self.by, values, strict=True)) | ({"path": shown_path(figures.output)} if several else {}),
                stats.json(),
            )
            for figures in self.outputs
            for values, stats in figures.groups
        ]

    def _output_json(self, figures: Figures) -> dict[str, Any]:
        standing, by = figures.standing, self.by
        whole = {
            "path": shown_path(figures.output),
            "state": standing.state,
            "reason": standing.reason,
            **figures.whole.json(None if standing.since_s is not None else figures.off_row_costs, standing.rows),
            "since": None if standing.since_s is None else iso_utc(standing.since_s),
            "running_s": standing.running_s,
            "mock": figures.of_mock,
        }
        if figures.output in self.billed:
            whole["reconcile"] = self.billed[figures.output][0].json()
        left = 0 if standing.rows.left == 0 else None  # of which group the rows are that are left is not known
        groups = [
            # The value first, and instead of a figure of its name: `--by attempts`.
            {**(of := dict(zip(by, values, strict=True))), **stats.json(rows=stats.totals.counts(left)), **of}
            for values, stats in figures.groups
        ]
        return {**whole, "by": groups, "left": standing.rows.left}
