"""The command lines that are suggested after a run: to continue it, or to send the rows it left."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.cli.set_option import shown_again
from batchchat.core.next_step import AS_BEFORE, NextStep
from batchchat.errors import EXIT_OK, EXIT_ROWS_FAILED, BudgetError, EndpointError

if TYPE_CHECKING:
    from batchchat.run.ending import RunResult

__all__ = ["KEEP_CHANGED", "LIMIT", "RETRY_FAILED", "RunCommand", "next_commands"]

RETRY_FAILED, KEEP_CHANGED, LIMIT = "--retry-failed", "--keep-changed", "--limit"
_PUBLISHED = {BudgetError.exit_code, EndpointError.exit_code}
# Failures that the same request would meet again, and rows that were never sent.
_LASTING = {"invalid_input", "context_length", "content_filter", "too_large"}


@dataclass(frozen=True, slots=True)
class RunCommand:
    """`batchchat run JOB`, with options that take a value, `--set` texts, and flags."""

    job: Path
    options: Mapping[str, str | None]
    sets: tuple[str, ...]
    flags: tuple[str, ...] = ()

    def text(self, step: NextStep = AS_BEFORE) -> str:
        """The same command with the changes of `step`."""
        words = ["batchchat", "run", str(self.job)]
        for option, value in self.options.items():
            if value is not None and option not in step.options:
                words += [option, value]
        for text in self.sets:
            words += ["--set", shown_again(text)]
        words += [*self.flags, *step.options]
        if step.retry_failed and RETRY_FAILED not in self.flags:
            words.append(RETRY_FAILED)
        return shlex.join(words)

    def plain(self, *kept: str) -> RunCommand:
        """The command without its limit and its flags, except those of `kept` that it has."""
        options = {option: value for option, value in self.options.items() if option != LIMIT}
        return replace(self, options=options, flags=tuple(flag for flag in self.flags if flag in kept))


def next_commands(result: RunResult, command: RunCommand, output: str) -> list[str]:
    """The commands to type next: the same one, or after a complete run those that send the rows it left."""
    report = f"batchchat report {shlex.quote(output)}"
    totals = result.ledger.totals
    if result.exit_code not in {EXIT_OK, EXIT_ROWS_FAILED}:
        commands = [command.text(result.next_step)]
        if totals.answered:
            so_far = f"batchchat export {shlex.quote(output)} --to parquet -o so-far.parquet"
            commands.append(report if result.exit_code in _PUBLISHED else so_far)
        return commands
    plain = command.plain(KEEP_CHANGED)
    if result.undecided:
        return [
            replace(plain, flags=("--resend", "changed")).text(),
            replace(plain, flags=(KEEP_CHANGED,)).text(),
            report,
        ]
    if result.outdated:  # they are sent again only by the flag that sent the others
        commands = [command.text()]
    else:
        commands = [plain.text()] if result.left != 0 else []
    commands.append(report)
    retrying = result.outdated and RETRY_FAILED in command.flags
    if not retrying and (+totals.failures).keys() - _LASTING:
        commands.append(plain.text(NextStep(retry_failed=True)))
    return commands
