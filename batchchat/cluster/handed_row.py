"""A row on its way to the worker that sends it.

Of most rows there is but the row itself, in plain lists, dicts and texts: an instance of a class takes several times as
long to load.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence

from batchchat.core.attempt import NO_SPEND
from batchchat.core.conversation import Key, Row
from batchchat.core.row_history import NO_HISTORY, AcceptedReply
from batchchat.dispatch.work import Work
from batchchat.execution.tasks import Scripts

__all__ = ["packed", "unpacked"]


def packed(work: Work, replies: Sequence[AcceptedReply]) -> bytes:
    """`work` as its worker is sent it; its script is made there. `replies` are those that its row has by now."""
    key, *others = work.script.row
    is_new = not replies and work.spend is NO_SPEND and work.history is NO_HISTORY
    earlier = None if is_new else (work.spend, work.history, replies)
    return pickle.dumps((tuple(key), others, earlier), protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes, scripts: Scripts) -> Work:
    """The work of what `packed` has made, whose script is one of `scripts`."""
    key, others, earlier = pickle.loads(data)  # noqa: S301 (it comes from this program)
    row = Row(Key(*key), *others)
    script = scripts.script_for(row, scripts.expansion.variant_of(row.key))
    if earlier is None:
        return Work(script, time.monotonic())
    spend, history, replies = earlier
    work = Work(script, time.monotonic(), spend, history)
    if replies:
        from batchchat.script.replay import replayed

        work.attempts = replayed(script, replies)
    return work
