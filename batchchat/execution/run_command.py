"""The command lines that are suggested after a run: to continue it, or to send the rows it left."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BudgetError, EndpointError

if TYPE_CHECKING:  # it brings pyarrow, and every command imports this module
    from batchchat.execution.ending import RunResult

__all__ = [
    "CHANGED",
    "FAILED",
    "KEEP_CHANGED",
    "LIMIT",
    "RESEND",
    "RETRY_FAILED",
    "RunCommand",
    "next_commands",
    "next_commands_of_stages",
    "resend_options",
]

RETRY_FAILED, KEEP_CHANGED, LIMIT, RESEND = "--retry-failed", "--keep-changed", "--limit", "--resend"
FAILED, CHANGED = "failed", "changed"
"""What may be sent again, beside kinds of errors: rows that failed, and answers whose request has changed."""
_PUBLISHED = {BudgetError.exit_code, EndpointError.exit_code}
# Failures that the same request would meet again, and rows that were never sent.
_LASTING = {"invalid_input", "context_length", "content_filter", "too_large"}


def resend_options(words: Iterable[str]) -> list[str]:
    """The `words` of what is sent again as options; `failed` has one of its own, `--retry-failed`."""
    return [part for word in words if word != FAILED for part in (RESEND, word)]


class RunCommand(NamedTuple):
    """`batchchat run JOB`, with options that take a value, texts of `--set` as they may be shown, and flags.

    `job` is the one that is run, and `jobs` are all that the command names, where these are several.
    """

    job: Path
    options: Mapping[str, str | None]
    sets: tuple[str, ...]
    flags: tuple[str, ...] = ()
    jobs: Sequence[Path] = ()

    def text(self, step: NextStep = AS_BEFORE) -> str:
        """The same command with the changes of `step`; options that it changes are those of the one job."""
        jobs = self.jobs if self.jobs and not step.options else (self.job,)
        words = ["batchchat", "run", *(str(job) for job in jobs)]
        for option, value in self.options.items():
            if value is not None and option not in step.options:
                words += [option, value]
        for text in self.sets:
            words += ["--set", text]
        words += [*self.flags, *step.options]
        if step.retry_failed and RETRY_FAILED not in self.flags:
            words.append(RETRY_FAILED)
        return shlex.join(words)

    def plain(self, *kept: str) -> RunCommand:
        """The command without its limit and its flags, except those of `kept` that it has."""
        options = {option: value for option, value in self.options.items() if option != LIMIT}
        return self._replace(options=options, flags=tuple(flag for flag in self.flags if flag in kept))

    def after(self) -> RunCommand | None:
        """The command for the jobs after this one; None where it is the last."""
        later = self.jobs[self.jobs.index(self.job) + 1 :] if self.jobs else ()
        return self._replace(job=later[0], jobs=later) if later else None


def next_commands(result: RunResult, command: RunCommand, output: str) -> list[str]:
    """The commands to type next: the same one, or after a complete run those that send the rows it left."""
    return next_commands_of_stages([result], command, [output])


def next_commands_of_stages(results: Sequence[RunResult], command: RunCommand, outputs: Sequence[str]) -> list[str]:
    """The commands to type after the jobs that gave `results` and wrote `outputs`; `command` is that of the last."""
    last, output = results[-1], outputs[-1]
    report = f"batchchat report {shlex.join(outputs)}"
    if last.exit_code not in {EXIT_OK, EXIT_ROWS_FAILED}:
        commands = [command.text(last.next_step)]
        if last.next_step.options and (later := command.after()) is not None:
            commands.append(later.text())
        if last.ledger.totals.answered:
            so_far = f"batchchat export {shlex.quote(output)} --to parquet -o so-far.parquet"
            commands.append(report if last.exit_code in _PUBLISHED else so_far)
        return commands
    plain = command.plain(KEEP_CHANGED)
    if any(result.undecided for result in results):
        return [
            plain._replace(flags=("--resend", "changed")).text(),
            plain._replace(flags=(KEEP_CHANGED,)).text(),
            report,
        ]
    is_outdated = any(result.outdated for result in results)
    if is_outdated:  # they are sent again only by the flag that sent the others
        commands = [command.text()]
    else:
        commands = [plain.text()] if any(result.left != 0 for result in results) else []
    commands.append(report)
    retrying = is_outdated and RETRY_FAILED in command.flags
    if not retrying and any((+result.ledger.totals.failures).keys() - _LASTING for result in results):
        commands.append(plain.text(NextStep(retry_failed=True)))
    return commands
