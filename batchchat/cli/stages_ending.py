"""How `batchchat run A B` prints its end: one summary of all jobs, as a text to read or as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchchat.cli.ending import coloured, put_replies, run_summary, tell_stopped
from batchchat.cli.output import put
from batchchat.errors import EXIT_OK
from batchchat.job import JobSpec

if TYPE_CHECKING:
    from batchchat.execution.ending import RunResult
    from batchchat.reporting.stages_summary import Refusal
    from batchchat.reporting.summary import RunSummary

__all__ = ["StagesEnding"]


class StagesEnding:
    """Gathers how each of the jobs at `paths` ended, and prints all of it once, whatever ends the command."""

    def __init__(self, paths: Sequence[Path], *, as_json: bool) -> None:
        self._paths = [str(path) for path in paths]
        self._as_json = as_json
        self._is_put = False
        self._again = ""
        self._commands: list[str] = []
        self._results: list[RunResult] = []
        self._stages: list[RunSummary | Refusal] = []
        self._summaries: list[Mapping[str, Any]] = []

    def begin(self, command: str) -> None:
        """`command` runs them all again."""
        self._again = command

    def ended(self, job: JobSpec, result: RunResult, commands: list[str]) -> None:
        """The run of `job` ended in order: print why it stopped on stderr, and the replies of a small run."""
        self._results.append(result)
        self._summaries.append(result.summary)
        self._commands = commands
        self._stages.append(run_summary(job, result, []))
        tell_stopped(result)
        if not self._as_json:
            put_replies(result, f"{job.name}\n")

    def refused(self, summary: Mapping[str, Any]) -> None:
        """An error ended the run of a job, whose `summary` is that of `on_finish`."""
        from batchchat.reporting.stages_summary import Refusal

        self._summaries.append(summary)
        self._stages.append(Refusal(summary["name"], summary["text"]))
        self._commands = [self._again]

    def failed(self, exit_code: int, reason: str) -> None:
        """An error ended the command, and is printed by others: print the summary of the jobs that ran before."""
        if not self._is_put and (self._as_json or self._results):
            self.finished(exit_code, reason)

    def finished(self, exit_code: int, reason: str | None = None) -> None:
        """Print the summary; `reason` says why the command ended where no job's own summary does."""
        self._is_put = True
        if self._as_json:
            self._put_json(exit_code, reason)
        else:
            self._put_text(exit_code)

    def _put_text(self, exit_code: int) -> None:
        from batchchat.reporting.stages_summary import sentence_of, stages_summary

        if exit_code == EXIT_OK and all(result.is_noop for result in self._results):
            put("\n".join(f"{coloured(sentence_of(stage), exit_code)}: nothing to send" for stage in self._stages))
            return
        lines = stages_summary(self._stages, self._not_started(), self._commands).split("\n")
        count = len(self._paths)
        put("\n".join([*(coloured(line, exit_code) for line in lines[:count]), *lines[count:]]))

    def _not_started(self) -> list[str]:
        begun = {summary["job"] for summary in self._summaries}
        return [path for path in self._paths if path not in begun]

    def _put_json(self, exit_code: int, reason: str | None) -> None:
        from batchchat import lossless_json
        from batchchat.execution.stages_json import summary_of_stages

        summaries = self._summaries
        summary = summary_of_stages(
            summaries,
            self._not_started(),
            exit_code=exit_code,
            reason=reason or (summaries[-1]["reason"] if summaries else None),
            next_command=next((of_job["next_command"] for of_job in summaries[::-1] if of_job["next_command"]), None),
        )
        put(lossless_json.dumps(summary).decode())
