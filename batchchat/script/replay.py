"""A script taken up where an earlier run had come to; pure.

A script decides by the attempts so far. Those of an earlier run are made of what the journal keeps of them: the request
is the one that the script asks for again, the reply and the usage are the recorded ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchchat.core.attempt import Action, Attempt, Billed, Failure, Outcome, Reply, Request, Script, Usage, Verdict
from batchchat.core.row_history import AcceptedReply

__all__ = ["replayed", "unsent"]

_ACCEPTED = Verdict(Action.ACCEPT, billed=Billed.YES)
_OK = 200
_REPLY_FIELDS = frozenset(Reply._fields)


def replayed(script: Script, replies: Iterable[AcceptedReply]) -> list[Attempt]:
    """The accepted attempts of `script` whose `replies` the journal has, in the order of its requests."""
    attempts: list[Attempt] = []
    for accepted in replies:
        request = script.next(attempts)
        if not isinstance(request, Request):
            break
        reply = Reply(**{name: value for name, value in accepted.reply.items() if name in _REPLY_FIELDS})
        usage = None if accepted.usage is None else Usage(**accepted.usage)
        at = accepted.at or 0.0
        attempts.append(Attempt(request, _ACCEPTED, at, at, 0.0, _OK, reply, usage=usage))
    return attempts


def unsent(script: Script, attempts: Sequence[Attempt], failure: Failure) -> Outcome:
    """How the row of `script` ends where the request after `attempts` is not sent, because of `failure`."""
    step = script.next(attempts)
    if not isinstance(step, Request):
        return step
    verdict = Verdict(Action.FAIL_ROW, kind=failure.kind)
    outcome = script.next([*attempts, Attempt(step, verdict, 0.0, 0.0, 0.0, failure=failure)])
    assert isinstance(outcome, Outcome), "a failure that ends the row is an outcome"
    return outcome
