"""`batchchat run`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from batchchat.cli.boundary import ErrorBoundary, guarded, put, say, say_error, style
from batchchat.cli.confirm import confirm
from batchchat.cli.runner import Subscribers, at_a_terminal, event_loop, follower_of, logs_of
from batchchat.cli.set_option import override, set_option, shown_again
from batchchat.core.events import OnFinishFailed, Subscriber
from batchchat.errors import (
    EXIT_DEFECT,
    EXIT_OK,
    EXIT_ROWS_FAILED,
    BatchchatError,
    BudgetError,
    EndpointError,
    MachineError,
    UsageError,
)
from batchchat.job import JobSpec, Override, load_job
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.core.totals import Totals
    from batchchat.run.ending import RunResult
    from batchchat.run.plan import OnChanged
    from batchchat.run.session import RunOptions, Session

__all__ = ["run"]

T = TypeVar("T")

# Failures that the same request would meet again, and rows that were never sent.
_LASTING = {"invalid_input", "context_length", "content_filter", "too_large"}
_COLOURS = {EXIT_OK: "green", EndpointError.exit_code: "red", MachineError.exit_code: "red"}


@click.command(
    epilog="Example:\n\n    batchchat run jobs/first.yaml --limit 5",
    short_help="Run or resume a job.",
)
@click.argument("job", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Send at most N rows in this run.")
@click.option("--concurrency", metavar="N", help="Requests in flight at most.")
@click.option("--max-cost", metavar="USD", help="What the job may cost in all, over all its resumes.")
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="Where the Parquet goes.")
@click.option("--retry-failed", is_flag=True, help="Send rows again that failed before.")
@click.option("--resend-changed", is_flag=True, help="Pay again for answered rows whose request changed.")
@click.option("--keep-changed", is_flag=True, help="Keep the answers of rows whose request changed.")
@click.option("--fresh", is_flag=True, help="Set the old run aside under a dated name and start anew.")
@click.option("--strict", is_flag=True, help="Send nothing if any row is invalid.")
@click.option("--yes", is_flag=True, help="Run without asking, though it costs more than `confirm_above`.")
@set_option
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "log", "none"]),
    default="auto",
    help="How stderr follows it.",
)
def run(
    job: Path,
    *,
    limit: int | None,
    concurrency: str | None,
    max_cost: str | None,
    output: Path | None,
    retry_failed: bool,
    resend_changed: bool,
    keep_changed: bool,
    fresh: bool,
    strict: bool,
    yes: bool,
    sets: tuple[str, ...],
    progress: str,
) -> None:
    """Send every conversation of the input, and write the replies, with usage and cost, to Parquet.

    Stopped or killed, the same command goes on where it was: no answer is lost, none is paid for twice. Exit codes:
    0 all answered, 2 refused (nothing sent), 3 some rows failed or are invalid, 4 stopped by budget or stop_at,
    5 stopped by the endpoint, 6 by this machine, 128 + n by a signal.
    """
    with guarded() as boundary:
        if resend_changed and keep_changed:
            raise click.UsageError("--resend-changed and --keep-changed contradict each other.")
        flags = [
            name
            for name, given in (
                ("--retry-failed", retry_failed),
                ("--resend-changed", resend_changed),
                ("--keep-changed", keep_changed),
                ("--yes", yes),
            )
            if given
        ]
        if limit is not None:
            flags += ["--limit", str(limit)]
        overrides = [override(text) for text in sets]
        if concurrency is not None:
            overrides.append(Override("--concurrency", "concurrency", concurrency))
        if max_cost is not None:
            overrides.append(Override("--max-cost", "budget.max_cost", max_cost))
        spec = load_job(job, overrides=overrides, environ=os.environ, output=output)
        # After the job: a typo in it is told without the half second that the libraries take to load.
        from batchchat.run.plan import OnChanged
        from batchchat.run.session import RunOptions

        place = None if output is None else str(output)
        given = {"--output": place, "--concurrency": concurrency, "--max-cost": max_cost}
        command = partial(_command, job, given, sets)
        options = RunOptions(
            again=partial(command, flags),
            limit=limit,
            retry_failed=retry_failed,
            changed=OnChanged.RESEND if resend_changed else OnChanged.KEEP if keep_changed else OnChanged.ASK,
            fresh=fresh,
            strict=strict,
            ask=_ask if at_a_terminal() else None,
        )
        if spec.confirm_above is not None and not yes:
            _confirm(spec, options)
        code = _play(spec, options, command([]), follower_of(progress), boundary)
    sys.exit(code)


def _confirm(job: JobSpec, options: RunOptions) -> None:
    """Ask about a run that costs more than the job's `confirm_above`."""
    from batchchat.preflight.confirm_above import confirmation_for
    from batchchat.preflight.scan import SendOptions

    sending = SendOptions(retry_failed=options.retry_failed, changed=options.changed, fresh=options.fresh)
    if (said := confirmation_for(job, sending, options.limit)) is not None:
        confirm(said, "Run it?", yes=False, without_terminal="There is no terminal to ask on; --yes runs it.")


def _play(job: JobSpec, options: RunOptions, plain: str, follower: Subscriber, boundary: ErrorBoundary) -> int:
    """Play the job's session and tell how it ended; the exit code. `plain` is the command without its flags."""
    from batchchat.run.session import Session

    telling, logs = Subscribers(follower), list[Subscriber]()
    session = Session(job, options, os.environ, telling)
    boundary.blank = session.blanker.text
    plain = session.blanker.text(plain)

    def again(change: tuple[str, ...]) -> str:
        return session.blanker.text(options.again(change))

    with ExitStack() as stack:

        def opened(folder: Path) -> None:
            boundary.folder = folder
            logs.extend(logs_of(folder, job, again, plain, stack))
            telling.add(logs)

        try:
            ended = event_loop(session.play(opened))
        except SystemExit as left:
            _tell_left(left.code, again(()))
            raise
        except Exception as error:
            code, reason = EXIT_DEFECT, "a defect of batchchat; see run.log"
            if isinstance(error, BatchchatError):
                code, reason = error.exit_code, str(error)
            _on_finish(job, session, logs, code, reason=reason)
            raise
        code = ended.exit_code
        try:
            _tell_end(job, ended, again(ended.change), plain)
        except MachineError as error:
            say_error(str(error))
            code = code or error.exit_code
        _on_finish(job, session, logs, code, totals=ended.ledger.totals)
    return code


def _on_finish(
    job: JobSpec,
    session: Session,
    logs: Sequence[Subscriber],
    code: int,
    *,
    totals: Totals | None = None,
    reason: str | None = None,
) -> None:
    """Run the job's own command at the very end; its failure is told, and is none of the run's.

    Where the run broke before it could be summed up there are no `totals`, and `reason` says why.
    """
    from batchchat.run.on_finish import run_command, summary_of
    from batchchat.run.state_file import StateFile

    state = next((log.state for log in logs if isinstance(log, StateFile)), None)
    if job.on_finish is None or state is None or code == UsageError.exit_code or session.at_once:
        return
    summary = summary_of(job, {**state, "reason": reason or state["reason"]}, code, totals)
    why = run_command(job.on_finish, summary, job.path.resolve().parent, session.blanker.data)
    if why is not None:
        say(f"on_finish: {why}. The run's own exit code stays {code}.")
        for log in logs:
            with suppress(OSError, ValueError):
                log(OnFinishFailed(why))


def _tell_end(job: JobSpec, ended: RunResult, again: str, plain: str) -> None:
    """Replies of a small run and the summary on stdout; why it stopped on stderr."""
    from batchchat.report.summary import RunSummary, replies, summary
    from batchchat.run.run_loop import READABLE_ROWS
    from batchchat.store.parquet import files_of

    colour = _COLOURS.get(ended.exit_code, "yellow")
    if ended.stopped:
        say(f"{style('stopped:', colour)} {ended.stopped}")
    if 0 < len(ended.rows) <= READABLE_ROWS and ended.exit_code in {EXIT_OK, EXIT_ROWS_FAILED}:
        put(replies(ended.rows) + "\n")
    output = job.output.path
    facts = RunSummary(
        name=job.name,
        totals=ended.ledger.totals,
        beside=ended.ledger.beside,
        elapsed_s=ended.elapsed_s,
        left=ended.left,
        stopped=ended.stopped,
        output=shown_path(output) if output.exists() and ended.exit_code in {0, 3, 4, 5} else None,
        output_bytes=sum(file.stat().st_size for file in files_of(output)) if output.exists() else None,
        next_commands=_next_commands(ended, again, plain, shown_path(output)),
        set_aside=[shown_path(path) for path in ended.set_aside],
        max_cost_usd=job.budget.max_cost,
        outdated=ended.outdated,
    )
    text = summary(facts)
    head, _, rest = text.partition("\n")
    put(f"{style(head, colour)}\n{rest}")


def _tell_left(code: object, again: str) -> None:
    """A signal ended it at once, where nothing is in flight: while the journal was read, or the output written."""
    name = signal.Signals(int(str(code)) - 128).name
    say(
        f"{style('stopped:', 'yellow')} {name}, at once. Every finished row is in the journal; the output is as it was."
    )
    say(f"next  {again}")


def _next_commands(ended: RunResult, again: str, plain: str, output: str) -> list[str]:
    """What to type next: to go on as before, or, where that is done, to take up what is left."""
    report = f"batchchat report {shlex.quote(output)}"
    if ended.exit_code not in {EXIT_OK, EXIT_ROWS_FAILED}:
        retry = bool(ended.stopped) and "--retry-failed" in str(ended.stopped) and "--retry-failed" not in again
        commands = [f"{again} --retry-failed" if retry else again]
        if ended.ledger.totals.answered:
            published = ended.exit_code in {BudgetError.exit_code, EndpointError.exit_code}
            so_far = f"batchchat export {shlex.quote(output)} --to parquet -o so-far.parquet"
            commands.append(report if published else so_far)
        return commands
    failures = +ended.ledger.totals.failures
    keep = " --keep-changed" if "--keep-changed" in again else ""
    if ended.outdated:  # they are sent again only by the word that sent the others
        commands = [again]
    else:
        commands = [plain + keep] if ended.left != 0 else []
    commands.append(report)
    retried = ended.outdated and "--retry-failed" in again
    worth_a_try = not retried and failures.keys() - _LASTING
    return [*commands, f"{plain}{keep} --retry-failed"] if worth_a_try else commands


def _command(
    job: Path, given: Mapping[str, str | None], sets: tuple[str, ...], flags: list[str], change: tuple[str, ...] = ()
) -> str:
    """The command that does the same again, but for what must `change`."""
    words = ["batchchat", "run", str(job)]
    for option, value in given.items():
        if value is not None and option not in change:
            words += [option, value]
    for text in sets:
        words += ["--set", shown_again(text)]
    return shlex.join([*words, *flags, *change])


def _ask(question: str) -> OnChanged:
    from batchchat.run.plan import OnChanged

    text = f"{question}\nSend them again (y), keep the answers there are (k), or stop here (n)? [y/k/N]"
    try:
        answer = click.prompt(
            text, type=click.Choice(["y", "k", "n"]), default="n", show_default=False, show_choices=False, err=True
        )
    except click.Abort:  # Ctrl-C, or no more input
        raise KeyboardInterrupt from None
    return {"y": OnChanged.RESEND, "k": OnChanged.KEEP}.get(answer, OnChanged.ASK)
