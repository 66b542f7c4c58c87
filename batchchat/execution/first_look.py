"""The plan of a run of which nothing is recorded: every good row is new, and all that is asked of it is its bound.

It gives the counts that `plan` gives. A row's requests are made only where its bound takes them: they are made again
when it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchchat.core.conversation import BadRow
from batchchat.execution.plan import ROWS_A_TURN, PlanCounts
from batchchat.execution.tasks import Scripts
from batchchat.sources import Source

__all__ = ["first_look"]


async def first_look(
    source: Source, scripts: Scripts, stopped: Callable[[], bool] = lambda: False
) -> PlanCounts | None:
    """Read the whole input, or until it is `stopped`, and count; None where a row may share the answer of another."""
    counts, expansion, bound_of = PlanCounts(), scripts.expansion, scripts.bound_of_text
    for number, input_row in enumerate(source.read(), 1):
        if number % ROWS_A_TURN == 0:
            await asyncio.sleep(0)
            if stopped():
                break
        if isinstance(input_row, BadRow):
            for bad_row in expansion.bad_rows(input_row):
                counts.add_bad(bad_row, is_new=True)
            continue
        for row, variant in expansion.rows(input_row):
            if (bound := bound_of(row, variant)) is None:
                script = scripts.script_for(row, variant)
                if scripts.shares is not None and scripts.shares(script.params):
                    return None
                bound = script.bound
            counts.add_new(bound.cost_usd)
            if bound.cost_usd is None:
                counts.max_cost.add_unbounded(scripts.script_for(row, variant))
    return counts
