"""Checks a job before a run: every row is read and its request composed. Nothing is sent or written.

What an earlier run has finished is looked up, so that the next command is one that has something to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batchchat.core.bad import BadReason
from batchchat.core.conversation import BadRow
from batchchat.errors import OutputError
from batchchat.execution.context_check import ContextCheck
from batchchat.execution.disposition import Disposition
from batchchat.execution.input_notes import input_notes
from batchchat.execution.messages import own_input
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, RowTask, looked_up_tasks
from batchchat.execution.wiring import redactor_for
from batchchat.job import JobSpec
from batchchat.job.spec import AUTO
from batchchat.preflight.scan import journal_of
from batchchat.pricing.for_job import context_for, rates_for
from batchchat.pricing.rates import Rates
from batchchat.sources import Source, open_source, overlapping_entry
from batchchat.store.folder import check_output

__all__ = ["BadRows", "NextCommands", "ValidationResult", "validate"]


class NextCommands(NamedTuple):
    """What to type next: to send rows, to check again, to see what every row came to."""

    run: str
    again: str
    report: str


@dataclass(slots=True)
class BadRows:
    """The rows that are bad for one reason: their number, and sentences about the first, each with file and line."""

    reason: BadReason
    rows: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, row: BadRow) -> None:
        """Count `row`."""
        self.rows += 1
        if len(self.first) < _FIRST_BAD:
            self.first.append(f"{row.location}: {row.error}")


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The result of a check, for `report.validation`.

    `source` and `form` describe the input and its format, `ids` where its ids come from if the job doesn't say it, and
    `notes` are sentences about what is not sent. `models` has the number of good rows for each model, in descending
    order, and `left` is the number of good rows that no earlier run has finished. `bad` has the other rows by reason,
    the most frequent first. `unset_key` is the variable of a key that is not set here, `next_command` the command to
    type next. `too_long` good rows seem not to fit their model's context, `unfit` of them certainly; `price` is the
    price that a cap on the cost uses.
    """

    name: str
    source: str
    form: str
    good: int
    left: int
    models: Sequence[tuple[str, int]]
    bad: Sequence[BadRows]
    unset_key: str | None
    next_command: str
    ids: str | None = None
    notes: Sequence[str] = ()
    too_long: int = 0
    unfit: int = 0
    first_too_long: Sequence[str] = ()
    price: str | None = None

    @property
    def invalid(self) -> int:
        """The number of bad rows."""
        return sum(bad.rows for bad in self.bad)


_FIRST_BAD = 10
_LEFT = {Disposition.UNDECIDED, Disposition.SHARE}
# Models are counted by name; those after this many distinct ones are counted under one name.
_MAX_MODELS = 1_000
_OTHERS = "others"


def validate(job: JobSpec, environ: Mapping[str, str], commands: NextCommands) -> ValidationResult:
    """Read the whole input of `job`.

    Raises `InputError` and `OutputError` for what a run would refuse at once.
    """
    if (entry := overlapping_entry(job.input, job.output.path, job.output.url)) is not None:
        raise OutputError(own_input(job.output.as_given, entry))
    source = open_source(job.input, job.template, job.systems)
    check_output(job.output.path, job.output.as_given, source.files, fresh=True)
    rates = rates_for(job)
    check = _Check(ContextCheck(context_for(job, rates)))
    with journal_of(job, fresh=False) as ledger:
        for task in looked_up_tasks(source, scripts_for(job, rates), ledger.index, ResumeRules()):
            if isinstance(task, BadRow):
                check.bad.setdefault(task.reason, BadRows(task.reason)).add(task)
            else:
                check.good(task)
    variables = [] if job.is_mock else [view.endpoint.api_key_env for view in job.per_endpoint]
    next_command = commands.again if not check.models else commands.run if check.left else commands.report
    return ValidationResult(
        name=job.name,
        source=source.description,
        form=_form(source),
        good=check.models.total(),
        left=check.left,
        models=check.models.most_common(),
        bad=sorted(check.bad.values(), key=lambda bad: -bad.rows),
        unset_key=next((name for name in variables if name and not environ.get(name, "").strip()), None),
        next_command=redactor_for(job, environ).redact(next_command),
        ids=_ids(job, source),
        notes=[*input_notes(job, source), *_bad_lines(job)],
        too_long=check.too_long,
        unfit=check.unfit,
        first_too_long=check.first_too_long,
        price=_price(job, rates),
    )


def _bad_lines(job: JobSpec) -> Sequence[str]:
    """What is wrong with lines of the job's file of endpoints, which a run passes over."""
    if job.endpoints_file is None:
        return ()
    from batchchat.job.endpoints_file import read_endpoints_file

    return read_endpoints_file(*job.endpoints_file).problems


class _Check:
    """Takes the rows one by one; see `ValidationResult`."""

    def __init__(self, context_check: ContextCheck) -> None:
        self._context_check = context_check
        self.bad: dict[BadReason, BadRows] = {}
        self.models = Counter[str]()
        self.left = self.too_long = self.unfit = 0
        self.first_too_long: list[str] = []

    def good(self, task: RowTask) -> None:
        row = task.row
        self.left += task.disposition.sends or task.disposition in _LEFT
        if (excess := self._context_check.too_long(task.script)) is not None:
            self.too_long += 1
            self.unfit += excess.exact
            if len(self.first_too_long) < _FIRST_BAD:
                counted = f"counted exactly: {excess.counted_by}" if excess.exact else f"by {excess.counted_by}"
                self.first_too_long.append(f"{row.location}: row {row.key.id}: {excess.description} ({counted})")
        model = task.script.preview[0].model
        self.models[model if model in self.models or len(self.models) < _MAX_MODELS else _OTHERS] += 1


def _ids(job: JobSpec, source: Source) -> str | None:
    """Where the ids come from, if the job leaves it open and the format doesn't say it."""
    if job.input.id != AUTO or source.format == "openai-batch":
        return None
    return "a hash of each request" if source.id_column is None else f"the column `{source.id_column}`"


def _price(job: JobSpec, rates: Rates) -> str | None:
    """The price of the job's model, if the job has a cap; only a run asks the endpoint for its list."""
    if job.budget.max_cost is None:
        return None
    rate = rates.rate(job.model)
    return rate.description if rate is not None else "unknown here: a run asks the endpoint for its list, and needs one"


def _form(source: Source) -> str:
    return f"{source.format}, as the job says" if source.recognised is None else source.recognised
