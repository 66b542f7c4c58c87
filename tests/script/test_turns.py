"""The script of several turns, and a script that is taken up where the journal has it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from batchchat import lossless_json
from batchchat.core.attempt import (
    NO_SPEND,
    Action,
    Attempt,
    Failure,
    MaxUsage,
    Outcome,
    Reply,
    Request,
    Usage,
    Verdict,
)
from batchchat.core.conversation import ErrorKind, Key, Message, Row, Status
from batchchat.core.price import Price
from batchchat.core.record import accepted_replies_of, record_of_outcome
from batchchat.core.row_history import AcceptedReply
from batchchat.endpoint.wire import compose
from batchchat.pricing.max_usage import UsageBounds
from batchchat.script.replay import replayed, unsent
from batchchat.script.single import single_message
from batchchat.script.turns import Turns, Unfit

PRICE = Price(Decimal(1_000_000), Decimal(2_000_000))  # a dollar and two a token
PARAMS = {"temperature": 0.5, "max_tokens": 100}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def script(
    *turns: str, params: Mapping[str, Any] = PARAMS, system: str | None = None, unfit: Unfit = lambda *_: None
) -> Turns:
    bounds = UsageBounds(lambda model, tier: PRICE)
    with_bounds = partial(compose, max_usage_of=bounds)
    row = Row(Key("1"), 0, "f:1", [user(turns[0])], turns=tuple(map(user, turns[1:])))
    first = single_message(row, model="m", params=params, system=system, compose=with_bounds)
    return Turns(first, with_bounds, bounds.longer, unfit)


def asked(played: Turns, *attempts: Attempt) -> Request:
    request = played.next(attempts)
    assert isinstance(request, Request)
    return request


def ended(played: Turns, *attempts: Attempt) -> Outcome:
    outcome = played.next(attempts)
    assert isinstance(outcome, Outcome)
    return outcome


def accepted(request: Request, text: str | None = "ok", **reply: Any) -> Attempt:
    usage = Usage(10, 5, 15)
    return Attempt(request, Verdict(Action.ACCEPT), 1.0, 2.0, 1.0, 200, Reply(text, **reply), usage=usage)


def failed(request: Request, kind: ErrorKind = ErrorKind.TIMEOUT, text: str = "no answer") -> Attempt:
    return Attempt(request, Verdict(Action.FAIL_ROW, kind=kind), 1.0, 2.0, 1.0, failure=Failure(kind, text))


def test_each_turn_is_sent_with_the_conversation_before_it() -> None:
    """Requests are numbered; whatever the first has besides its messages, all have."""
    played = script("a", "b", "c", system="Be brief.")
    system = {"role": "system", "content": "Be brief."}
    first = asked(played)
    second = asked(played, one := accepted(first, "A"))
    third = asked(played, one, two := accepted(second, "B"))
    assert [request.step for request in (first, second, third)] == [0, 1, 2]
    assert third.messages == [system, user("a"), assistant("A"), user("b"), assistant("B"), user("c")]
    assert lossless_json.loads(third.body) == {"model": "m", "messages": third.messages, **PARAMS}
    outcome = ended(played, one, two, three := accepted(third, "C"))
    assert outcome == Outcome(played.row, Status.ANSWERED, third.messages, three)
    assert played.preview == (first,)


def test_the_identity_is_of_all_turns() -> None:
    """Another question, order, model or parameter is another script; without further turns it is the one request."""
    same = script("a", "b").identity
    others = [script("a", "c"), script("b", "a"), script("a", "b", "b"), script("a", "b", params={}), script("a")]
    assert script("a", "b").identity == same
    assert len({same, *(played.identity for played in others)}) == 6
    assert script("a").identity == script("a").first.identity
    single = single_message(
        Row(Key("1"), 0, "f:1", [user("a"), user("b")]), model="m", params=PARAMS, system=None, compose=compose
    )
    assert single.identity != same


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_failure_names_its_turn(turn: int) -> None:
    """The conversation up to there is kept, and the turns before it can be gone on from."""
    played = script("a", "b", "c")
    attempts: list[Attempt] = []
    for _ in range(turn - 1):
        attempts.append(accepted(asked(played, *attempts)))
    last = failed(asked(played, *attempts))
    outcome = ended(played, *attempts, last)
    assert (outcome.status, outcome.attempt, outcome.messages) == (Status.FAILED, last, last.request.messages)
    assert outcome.reason == Failure(ErrorKind.TURN_FAILED, f"turn {turn} of 3: timeout: no answer")
    assert list(outcome.resumable) == attempts


def test_what_a_failed_row_has_is_taken_up_by_a_resend() -> None:
    """Its record gives back the same attempts, so that the same request comes next."""
    played = script("a", "b", "c")
    one = accepted(asked(played), "A", reasoning="Hm.")
    two = accepted(asked(played, one), "B", finish_reason="length")
    outcome = ended(played, one, two, failed(asked(played, one, two)))
    record = record_of_outcome(outcome, played.identity, NO_SPEND, 0.0)
    attempts = replayed(played, accepted_replies_of(record))
    assert [(a.request, a.reply, a.usage) for a in attempts] == [(a.request, a.reply, a.usage) for a in (one, two)]
    assert asked(played, *attempts) == asked(played, one, two)


def test_a_reply_without_text_is_taken_up_too() -> None:
    """A refusal has none, and its record does not name what it lacks: the conversation goes on behind it."""
    played = script("a", "b")
    refused = accepted(asked(played), None, refusal="I won't.")
    outcome = ended(played, refused, failed(asked(played, refused)))
    record = record_of_outcome(outcome, played.identity, NO_SPEND, 0.0)
    (attempt,) = replayed(played, accepted_replies_of(record))
    assert attempt.reply == refused.reply
    assert asked(played, attempt) == asked(played, refused)


def test_a_replay_ends_where_the_script_does() -> None:
    """Replies that the script has no request for are left out, as are fields of a reply that we do not know."""
    played = script("a", "b")
    attempts = replayed(
        played, [AcceptedReply({"text": "A", "later": 1}), AcceptedReply({"text": "B"}), AcceptedReply({})]
    )
    assert [attempt.reply for attempt in attempts] == [Reply("A"), Reply("B")]
    assert [attempt.usage for attempt in attempts] == [None, None]
    assert isinstance(unsent(played, attempts, Failure(ErrorKind.OTHER, "")), Outcome)


def test_a_request_that_is_not_sent_fails_its_turn() -> None:
    """As if it had been sent and refused."""
    played = script("a", "b")
    failure = Failure(ErrorKind.CONTEXT_LENGTH, "too long")
    outcome = unsent(played, (one := accepted(asked(played), "A"),), failure)
    assert outcome.reason == Failure(ErrorKind.TURN_FAILED, "turn 2 of 2: context_length: too long")
    assert (outcome.messages, list(outcome.resumable)) == ([user("a"), assistant("A"), user("b")], [one])


def test_a_turn_that_cannot_fit_is_not_sent() -> None:
    """The check is given each further request with its parameters; an attempt without time and bill fails the row."""
    seen = []

    def unfit(request: Request, params: Mapping[str, Any]) -> Failure | None:
        seen.append((len(request.messages), params))
        return Failure(ErrorKind.CONTEXT_LENGTH, "too long") if len(request.messages) > 3 else None

    played = script("a", "b", "c", unfit=unfit)
    one = accepted(asked(played))
    two = accepted(asked(played, one))
    outcome = ended(played, one, two)
    assert seen == [(3, PARAMS), (5, PARAMS)]
    assert outcome.reason == Failure(ErrorKind.TURN_FAILED, "turn 3 of 3: context_length: too long")
    assert (outcome.attempt.latency_s, outcome.attempt.may_be_billed, outcome.attempt.reply) == (0.0, False, None)
    assert list(outcome.resumable) == [one, two]


@pytest.mark.parametrize("reply", [{"text": None}, {"text": ""}, {"text": None, "reasoning": "Hm."}])
def test_a_reply_without_text_ends_the_conversation(reply: dict[str, Any]) -> None:
    """It is asked for again by a resend: it is none of those that are gone on from."""
    played = script("a", "b")
    outcome = ended(played, accepted(asked(played), **reply))
    assert outcome.reason is not None
    assert outcome.reason.text == "turn 1 of 2: the reply has no text, so that the next turn can't be sent"
    assert outcome.resumable == ()
    assert ended(script("a"), accepted(asked(script("a")), **reply)).status is Status.ANSWERED


def test_a_cut_off_turn_marks_the_last_reply() -> None:
    """Its own reason stands in its step; the row has an answer that is cut off."""
    played = script("a", "b")
    one = accepted(asked(played), finish_reason="length")
    outcome = ended(played, one, accepted(asked(played, one), finish_reason="stop"))
    assert outcome.attempt.reply == Reply("ok", "length")


def test_the_bound_covers_every_request() -> None:
    """Prompts grow by the longest replies: a text of as many bytes as a reply may have tokens reaches it exactly."""
    played = script("a", "bb", "ccc")
    # bytes and 16 a message, and 100 + 16 for each reply before it
    prompts = [17, 17 + 18 + 116, 17 + 18 + 19 + 2 * 116]
    assert played.bound == MaxUsage(sum(prompts), 300, Decimal(sum(prompts) + 2 * 300))
    one = accepted(asked(played), "x" * 100)
    two = accepted(asked(played, one), "x" * 100)
    requests = [one.request, two.request, asked(played, one, two)]
    assert [request.max_usage.prompt_tokens for request in requests] == prompts


@pytest.mark.parametrize("params", [{}, {"temperature": 0}])
def test_without_a_limit_on_the_reply_there_is_no_bound(params: dict[str, Any]) -> None:
    """Neither of the tokens of later prompts nor of the cost."""
    assert script("a", "b", params=params).bound == MaxUsage(None, None, None)
