"""The script of one message."""

from __future__ import annotations

from typing import Any

import pytest

from batchchat.core.attempt import Action, Attempt, Outcome, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key, Message, Row, Status
from batchchat.endpoint.wire import compose
from batchchat.script.single import SingleMessage, merged_params, single_message

USER: Message = {"role": "user", "content": "Hello!"}


def script(
    messages: list[Message], system: str | None = None, params: dict[str, Any] | None = None, **row: Any
) -> SingleMessage:
    given = Row(Key("1"), 0, "f:1", messages, **row)
    return single_message(given, model="job/model", params=params or {}, system=system, compose=compose)


def asked(played: SingleMessage) -> Request:
    request = played.next([])
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize(
    ("action", "status"),
    [(Action.ACCEPT, Status.ANSWERED), (Action.FAIL_ROW, Status.FAILED), (Action.STOP_RUN, Status.FAILED)],
)
def test_one_attempt_is_the_outcome(action: Action, status: Status) -> None:
    """Accepted it is the answer, else the failure; the outcome holds the conversation that was asked."""
    played = script([USER], system="Be brief.")
    attempt = Attempt(asked(played), Verdict(action, kind=ErrorKind.OTHER), 0, 0, 0)
    outcome = played.next([attempt])
    assert outcome == Outcome(played.row, status, [{"role": "system", "content": "Be brief."}, USER], attempt)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_system_message_stands_where_there_is_none(role: str) -> None:
    """It is put first, and left out where the conversation brings its own; the row is not changed."""
    own = [{"role": role, "content": "Mine."}, USER]
    assert asked(script(own, system="Job's.")).messages == own
    given = [USER]
    assert asked(script(given, system="Job's.")).messages == [{"role": "system", "content": "Job's."}, USER]
    assert given == [USER]
    assert asked(script(given)).messages == [USER]


def test_the_rows_own_model_and_params_win() -> None:
    """Params are merged key by key; neither the row's nor the job's are changed."""
    params = {"temperature": 0.7, "max_tokens": 512}
    assert asked(script([USER], params=params)).model == "job/model"
    own = Row(Key("2"), 1, "f:2", [USER], params={"max_tokens": 9, "seed": 1}, model="row/model")
    played = single_message(own, model="job/model", params=params, system=None, compose=compose)
    expected = compose(Key("2"), "row/model", [USER], {"temperature": 0.7, "max_tokens": 9, "seed": 1})
    assert asked(played) == expected
    assert params == {"temperature": 0.7, "max_tokens": 512}
    assert own.params == {"max_tokens": 9, "seed": 1}


@pytest.mark.parametrize(
    ("own", "merged"),
    [
        ({"max_tokens": 5}, {"top_p": 1, "max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"top_p": 1, "max_completion_tokens": 5}),
        ({"max_tokens": None}, {"top_p": 1, "max_completion_tokens": 9, "max_tokens": None}),
        ({"seed": 1}, {"top_p": 1, "max_completion_tokens": 9, "seed": 1}),
    ],
)
def test_a_rows_limit_of_its_reply_is_the_only_one(own: dict[str, Any], merged: dict[str, Any]) -> None:
    """Two names mean one limit: endpoints refuse both at once, and the job's would be the larger."""
    assert merged_params({"top_p": 1, "max_completion_tokens": 9}, own) == merged
