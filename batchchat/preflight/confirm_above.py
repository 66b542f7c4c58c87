"""Whether a run must be confirmed because of its cost: the job's `confirm_above`.

The cost is that of the rows which the run itself will send; rows that are kept are paid already. Where replies were
observed, the expected cost is compared, and else the worst, since an assumption does not justify spending. A run of
unknown cost must always be confirmed.
"""

from __future__ import annotations

from batchchat.errors import InputError
from batchchat.execution.context import RunOptions
from batchchat.execution.disposition import OnChanged
from batchchat.execution.tasks import ResumeRules
from batchchat.job import JobSpec
from batchchat.preflight.assumptions import ModelList
from batchchat.preflight.estimate import estimate
from batchchat.preflight.forecast import Range
from batchchat.preflight.job_estimate import JobEstimate
from batchchat.preflight.scan import SendOptions
from batchchat.store.folder import folder_of
from batchchat.store.lock import holder
from batchchat.text import numbers

__all__ = ["confirmation_for"]


def confirmation_for(job: JobSpec, options: RunOptions, models: ModelList = None) -> str | None:
    """The sentence that a user must confirm before `job` runs; None where the cost is not above `confirm_above`.

    None, too, where the run will be refused anyway, since its own error says why. `models` is the endpoint's list.
    """
    limit_usd = job.confirm_above
    if limit_usd is None or holder(folder_of(job.output.path)) is not None:
        return None
    try:
        estimated = estimate(job, sending=_sending(job, options), models=models)[0]
    except InputError:
        return None
    left = estimated.load.left
    rows = left if options.limit is None else min(options.limit, left)
    if not rows:
        return None
    cost = _times(estimated.forecast.left_cost_usd, rows / left)
    compared_usd = None if cost is None else cost.expected if estimated.forecast.measured else cost.worst
    if compared_usd is not None and compared_usd <= limit_usd:
        return None
    return f"{_sentence(estimated, rows, cost)} `confirm_above` is {numbers.money(limit_usd)}."


def _sending(job: JobSpec, options: RunOptions) -> SendOptions:
    changed = OnChanged(job.resume.changed) if options.changed is None else options.changed
    return SendOptions(ResumeRules(options.resend, changed), fresh=options.fresh)


def _times(cost: Range | None, share: float) -> Range | None:
    return None if cost is None else Range(*(None if usd is None else usd * share for usd in cost))


def _sentence(estimated: JobEstimate, rows: int, cost: Range | None) -> str:
    what = f"{estimated.job}: {numbers.rows(rows)} {'is' if rows == 1 else 'are'} to be sent to {estimated.host}"
    if cost is None or (cost.expected is None and cost.worst is None):
        return f"{what}, at an unknown cost."
    sources = estimated.forecast.sources
    about = numbers.UNKNOWN if cost.expected is None else f"about {numbers.money(cost.expected)}"
    maximum = "with no known maximum" if cost.worst is None else f"at most {numbers.money(cost.worst)}"
    return f"{what}: {about}, {maximum} ({sources['completion_tokens']}; {sources['cost_usd']})."
