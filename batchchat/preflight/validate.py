"""Checks a job before a run: every row is read and its request composed. Nothing is sent or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchchat.core.conversation import BadRow
from batchchat.errors import OutputError
from batchchat.job import JobSpec
from batchchat.pricing.for_job import context_for, rates_for
from batchchat.pricing.rates import Rates
from batchchat.run.context_check import ContextCheck
from batchchat.run.messages import own_input
from batchchat.run.tasks import ResumeRules, looked_up_tasks
from batchchat.run.wiring import redactor_for, scripts_for
from batchchat.sources import Source, open_source, overlapping_entry
from batchchat.store.folder import check_output
from batchchat.store.index import Index

__all__ = ["ValidationResult", "validate"]


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The result of a check, for `report.validation`.

    `source` and `form` describe the input and its format; `models` has the number of good rows for each model, in
    descending order. `first_bad` are sentences that begin with file and line, `unset_key` is the variable of a key that
    is not set here, `next_command` the command to type next. `too_long` good rows seem not to fit their model's
    context, `unfit` of them certainly; `price` is the price that a cap on the cost uses.
    """

    name: str
    source: str
    form: str
    good: int
    invalid: int
    models: Sequence[tuple[str, int]]
    first_bad: Sequence[str]
    unset_key: str | None
    next_command: str
    too_long: int = 0
    unfit: int = 0
    first_too_long: Sequence[str] = ()
    price: str | None = None


_FIRST_BAD = 10
# Models are counted by name; those after this many distinct ones are counted under one name.
_MAX_MODELS = 1_000
_OTHERS = "others"


def validate(job: JobSpec, environ: Mapping[str, str], *, run_command: str, again: str) -> ValidationResult:
    """Read the whole input of `job`. `again` is the command that checks again.

    Raises `InputError` and `OutputError` for what a run would refuse at once.
    """
    if (entry := overlapping_entry(job.input, job.output.path)) is not None:
        raise OutputError(own_input(job.output.as_given, entry))
    source = open_source(job.input)
    check_output(job.output.path, job.output.as_given, source.files, fresh=True)
    rates = rates_for(job)
    context_check = ContextCheck(context_for(job, rates), job.params)
    invalid, first_bad, models = 0, list[str](), Counter[str]()
    too_long, unfit, first_too_long = 0, 0, list[str]()
    for task in looked_up_tasks(source, scripts_for(job, rates), Index(), ResumeRules()):
        if isinstance(task, BadRow):
            invalid += 1
            if len(first_bad) < _FIRST_BAD:
                first_bad.append(f"{task.location}: {task.error}")
            continue
        row = task.row
        if (excess := context_check.too_long(task.script)) is not None:
            too_long += 1
            unfit += excess.exact
            if len(first_too_long) < _FIRST_BAD:
                counted = f"counted exactly: {excess.counted_by}" if excess.exact else f"by {excess.counted_by}"
                first_too_long.append(f"{row.location}: row {row.key.id}: {excess.description} ({counted})")
        model = task.script.preview[0].model
        models[model if model in models or len(models) < _MAX_MODELS else _OTHERS] += 1
    variable = job.endpoint.api_key_env
    return ValidationResult(
        name=job.name,
        source=source.description,
        form=_form(source),
        good=models.total(),
        invalid=invalid,
        models=models.most_common(),
        first_bad=first_bad,
        too_long=too_long,
        unfit=unfit,
        first_too_long=first_too_long,
        price=_price(job, rates),
        unset_key=variable if variable and not job.is_mock and not environ.get(variable, "").strip() else None,
        next_command=redactor_for(job, environ).redact(run_command if models else again),
    )


def _price(job: JobSpec, rates: Rates) -> str | None:
    """The price of the job's model, if the job has a cap; only a run asks the endpoint for its list."""
    if job.budget.max_cost is None:
        return None
    rate = rates.rate(job.model)
    return rate.description if rate is not None else "unknown here: a run asks the endpoint for its list, and needs one"


def _form(source: Source) -> str:
    return f"{source.format}, as the job says" if source.recognised is None else source.recognised
