"""Whether a run costs so much that somebody is to be asked first: the job's `confirm_above`.

What counts is what the run itself will send: answers that are kept are paid. It is the expected cost where replies
were seen, and the worst where none were, since an assumption is no ground to spend on; an unknown cost is always asked
about.
"""

from __future__ import annotations

from batchchat.errors import InputError
from batchchat.job import JobSpec
from batchchat.preflight.estimate import estimate
from batchchat.preflight.forecast import Range
from batchchat.preflight.job_estimate import JobEstimate
from batchchat.preflight.scan import SendOptions
from batchchat.store.folder import folder_of
from batchchat.store.lock import holder
from batchchat.text import numbers

__all__ = ["asked_before"]


def asked_before(job: JobSpec, sending: SendOptions, limit: int | None) -> str | None:
    """What a person is asked about before `job` runs; None where the cost is not above `confirm_above`.

    None, too, where the run will be refused anyway: it says better why.
    """
    above = job.confirm_above
    if above is None or holder(folder_of(job.output.path)) is not None:
        return None
    try:
        found = estimate(job, sending=sending)[0]
    except InputError:
        return None
    rows = found.load.left if limit is None else min(limit, found.load.left)
    if not rows:
        return None
    cost = _of(found.forecast.left_cost_usd, rows / found.load.left)
    decides = None if cost is None else cost.expected if found.forecast.measured else cost.worst
    if decides is not None and decides <= above:
        return None
    return f"{_words(found, rows, cost)} `confirm_above` is {numbers.money(above)}."


def _of(cost: Range | None, share: float) -> Range | None:
    return None if cost is None else Range(*(None if usd is None else usd * share for usd in cost))


def _words(found: JobEstimate, rows: int, cost: Range | None) -> str:
    what = f"{found.job}: {numbers.rows(rows)} {'is' if rows == 1 else 'are'} to be sent to {found.host}"
    if cost is None or (cost.expected is None and cost.worst is None):
        return f"{what}, at a cost that is unknown."
    sources = found.forecast.sources
    about = numbers.UNKNOWN if cost.expected is None else f"about {numbers.money(cost.expected)}"
    most = "without a bound that is known" if cost.worst is None else f"at most {numbers.money(cost.worst)}"
    return f"{what}: {about}, {most} ({sources['completion_tokens']}; {sources['cost_usd']})."
