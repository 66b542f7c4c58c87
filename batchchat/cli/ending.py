"""How `batchchat run` prints its end: as a text to read, or with `--json` as one object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from batchchat.cli.output import put, say, style
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, EndpointError, MachineError
from batchchat.job import JobSpec
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.execution.ending import RunResult
    from batchchat.reporting.summary import RunSummary
    from batchchat.text.run_sentence import Standing

__all__ = ["Ending", "JsonEnding", "TextEnding", "coloured", "put_replies", "run_summary", "tell_stopped"]

_COLOURS = {EXIT_OK: "green", EndpointError.exit_code: "red", MachineError.exit_code: "red"}


class Ending(Protocol):
    """What is printed of the end of a run."""

    def ended(self, job: JobSpec, result: RunResult, commands: list[str], /) -> None:
        """The run ended in order; `commands` can be typed next."""

    def refused(self, summary: Mapping[str, Any]) -> None:
        """An error ended the run, whose `summary` is that of `on_finish`; the error itself is printed by others."""

    def failed(self, exit_code: int, reason: str) -> None:
        """An error ended the command with `exit_code`, before there was a run or after `refused`."""


class TextEnding:
    """Replies of a small run and the summary on stdout; why it stopped on stderr."""

    def ended(self, job: JobSpec, result: RunResult, commands: list[str]) -> None:
        """Print the summary."""
        from batchchat.reporting.summary import summary

        tell_stopped(result)
        put_replies(result)
        head, _, body = summary(run_summary(job, result, commands)).partition("\n")
        put(f"{coloured(head, result.exit_code)}\n{body}")

    def refused(self, summary: Mapping[str, Any]) -> None:
        """Print nothing: the error is on stderr."""

    def failed(self, exit_code: int, reason: str) -> None:
        """Print nothing: the error is on stderr."""


class JsonEnding:
    """One JSON object on stdout however the run ends, a job that can't be read included."""

    def __init__(self, job: Path) -> None:
        self._job = job
        self._is_put = False

    def ended(self, _job: JobSpec, result: RunResult, _commands: list[str]) -> None:
        """Print the summary, and why it stopped on stderr."""
        tell_stopped(result)
        self._put(result.summary)

    def refused(self, summary: Mapping[str, Any]) -> None:
        """Print the summary."""
        self._put(summary)

    def failed(self, exit_code: int, reason: str) -> None:
        """Print what is known of a run that did not begin."""
        if not self._is_put:
            text = f"{self._job.stem} refused: {' '.join(reason.split())}"
            refusal = {"text": text, "job": str(self._job), "exit_code": exit_code, "reason": reason}
            self._put({**refusal, "state": "stopped", "rows": None, "cost_usd": None, "next_command": None})

    def _put(self, summary: Mapping[str, Any]) -> None:
        from batchchat import lossless_json

        self._is_put = True
        put(lossless_json.dumps(dict(summary)).decode())


def coloured(headline: str, exit_code: int) -> str:
    """`headline` in the colour of `exit_code`."""
    return style(headline, _COLOURS.get(exit_code, "yellow"))


def tell_stopped(result: RunResult) -> None:
    """Why the run stopped, on stderr."""
    if result.stopped:
        say(f"{coloured('stopped:', result.exit_code)} {result.stopped}")


def put_replies(result: RunResult, title: str = "") -> None:
    """The replies of a run small enough to be read, under a `title`."""
    from batchchat.execution.finished_rows import READABLE_ROWS
    from batchchat.reporting.summary import replies

    if 0 < len(result.rows) <= READABLE_ROWS and result.exit_code in {EXIT_OK, EXIT_ROWS_FAILED}:
        put(f"{title}{replies(result.rows)}\n")


def run_summary(job: JobSpec, result: RunResult, commands: list[str]) -> RunSummary:
    """What the summary of a run prints."""
    from batchchat.reporting.summary import RunSummary
    from batchchat.store.output_files import files_of

    output = job.output.path
    return RunSummary(
        name=job.name,
        totals=result.ledger.totals,
        off_row_costs=result.ledger.off_row_costs,
        standing=_standing(result),
        this_run=result.figures.this_run,
        output=_output(job, result),
        output_bytes=sum(file.stat().st_size for file in files_of(output)) if output.exists() else None,
        next_commands=commands,
        set_aside=result.set_aside,
        max_cost_usd=job.budget.max_cost,
        variants=job.variants,
        samples=job.samples,
        endpoints=result.summary.get("endpoints", ()),
    )


def _output(job: JobSpec, result: RunResult) -> str | None:
    """Where the output is, where it was published: in an object store what a reader may name."""
    if job.output.url is not None:
        return None if result.remote is None else result.remote.pattern
    return shown_path(job.output.path) if job.output.path.exists() and result.exit_code in {0, 3, 4, 5} else None


def _standing(result: RunResult) -> Standing:
    from batchchat.text.run_sentence import Standing

    state = "finished" if result.exit_code in {EXIT_OK, EXIT_ROWS_FAILED} else "stopped"
    figures = result.figures
    return Standing(
        state,
        result.stopped_by or None,
        figures.rows,
        figures.outdated,
        result.stopped,
        figures.estimated_total,
        figures.running_s,
    )
