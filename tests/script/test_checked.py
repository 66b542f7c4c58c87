"""The script of a row whose reply is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from batchchat.core.attempt import Action, Attempt, Billed, Failure, Outcome, Parsed, Reply, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key, Message, Row, Status
from batchchat.core.price import Price
from batchchat.core.response_format import ResponseFormat
from batchchat.endpoint.wire import compose
from batchchat.policy.format_ladder import FormatLadder
from batchchat.pricing.max_usage import UsageBounds
from batchchat.script.checked import CheckedScript, Checking
from batchchat.script.expectation import Expectation
from batchchat.script.response_format import is_strict
from batchchat.script.single import single_message

USER: Message = {"role": "user", "content": "Hello!"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
JSON_SCHEMA, JSON_OBJECT, NONE = ResponseFormat
PRICE = Price(Decimal(1), Decimal(2))


def script(
    *,
    schema: Any = SCHEMA,
    matches: str | None = None,
    re_ask: int = 1,
    present: ResponseFormat | Callable[[str, str | None], ResponseFormat] = JSON_SCHEMA,
    falls_back: bool = True,
    has_endpoints: bool = False,
    params: dict[str, Any] | None = None,
    messages: list[Message] | None = None,
) -> CheckedScript:
    bounded = partial(compose, max_usage_of=UsageBounds(lambda _model, _tier: PRICE))
    row = Row(Key("1"), 0, "f:1", messages or [USER])
    inner = single_message(row, model="m", params=params or {"max_tokens": 50}, system=None, compose=bounded)
    expectation = Expectation(schema, matches)
    present_format = (lambda _model, _endpoint: present) if isinstance(present, ResponseFormat) else present
    checking = Checking(
        expectation, schema, re_ask, bounded, present_format, falls_back=falls_back, has_endpoints=has_endpoints
    )
    return CheckedScript(inner, checking)


def request_of(step: Request | Outcome) -> Request:
    assert isinstance(step, Request)
    return step


def body(request: Request) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(request.body)
    return content


def answered(request: Request, text: str, finish_reason: str = "stop") -> Attempt:
    return Attempt(request, Verdict(Action.ACCEPT, billed=Billed.YES), 0, 0, 0, 200, Reply(text, finish_reason))


def refused(request: Request) -> Attempt:
    verdict = Verdict(Action.FAIL_ROW, kind=ErrorKind.BAD_REQUEST, refused_field="response_format")
    return Attempt(request, verdict, 0, 0, 0, 400, failure=Failure(ErrorKind.BAD_REQUEST, "no"))


def test_a_reply_that_fits_ends_the_row() -> None:
    """With its value; the conversation is the user's."""
    played = script()
    attempt = answered(request_of(played.next([])), '{"a": 1}')
    assert played.next([attempt]) == Outcome(played.row, Status.ANSWERED, [USER], attempt, parsed=Parsed({"a": 1}))


def test_it_is_asked_again_with_the_last_reply_alone() -> None:
    """And with what is wrong with it; steps are counted, and the same attempts give the same request."""
    played = script(re_ask=2)
    attempts = [answered(request_of(played.next([])), "x")]
    second = request_of(played.next(attempts))
    assert second == played.next(attempts)
    attempts.append(answered(second, '{"a": "1"}'))
    third = request_of(played.next(attempts))
    assert (second.step, third.step) == (1, 2)
    assert [message["content"] for message in body(third)["messages"][:2]] == ["Hello!", '{"a": "1"}']
    assert "- $.a: '1' is not of type 'integer'" in body(third)["messages"][2]["content"]
    assert third.messages == [USER]
    attempts.append(answered(third, "{}"))
    outcome = played.next(attempts)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.re_asks, outcome.parsed) == (Status.FAILED, 2, None)
    assert outcome.failure == Failure(
        ErrorKind.SCHEMA, "the reply does not fit the schema: $: 'a' is a required property"
    )
    assert outcome.attempt == attempts[-1]


def test_a_failure_ends_it_wherever_it_comes() -> None:
    """With its own reason, and the re-asks so far."""
    played = script()
    first = answered(request_of(played.next([])), "x")
    second = request_of(played.next([first]))
    failed = Attempt(second, Verdict(Action.FAIL_ROW, kind=ErrorKind.TIMEOUT), 0, 0, 0)
    outcome = played.next([first, failed])
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.re_asks, outcome.failure) == (Status.FAILED, 1, None)


def test_a_refused_format_is_followed_by_the_next() -> None:
    """At the same step, in a re-ask too; without any, there is none to refuse."""
    played = script()
    attempts = [refused(request_of(played.next([])))]
    for response_format in (JSON_OBJECT, NONE):
        following = request_of(played.next(attempts))
        assert (following.step, following.response_format) == (0, response_format)
        attempts.append(refused(following))
    outcome = played.next(attempts)
    assert isinstance(outcome, Outcome)
    assert outcome.status is Status.FAILED
    again = request_of(played.next([*attempts[:2], answered(following, "x")]))
    assert (again.step, again.response_format, "response_format" in body(again)) == (1, NONE, False)


def test_each_of_several_endpoints_is_asked_by_what_it_takes() -> None:
    """Nothing that it refused the row or others; the bound is the highest of all forms, wherever it is sent."""
    ladder = FormatLadder()
    played = script(present=ladder.present, has_endpoints=True)
    first = request_of(played.next([]))
    assert first.at("old") is first
    attempt = refused(first)._replace(endpoint="old")
    ladder.refuse("m", JSON_SCHEMA, "old")
    second = request_of(played.next([attempt]))
    sent = {name: second.at(name) for name in ("old", "new")}
    assert [sent[name].response_format for name in sent] == [JSON_OBJECT, JSON_SCHEMA]
    assert body(sent["new"]) == body(first)
    # The row is refused what the ladder still has for others: it is not asked so again at the same endpoint.
    third = request_of(played.next([attempt, refused(sent["new"])._replace(endpoint="new")]))
    assert [third.at(name).response_format for name in ("old", "new", "third")] == [
        JSON_OBJECT,
        JSON_OBJECT,
        JSON_SCHEMA,
    ]
    alone = [request_of(script(present=form).next([])) for form in (JSON_SCHEMA, JSON_OBJECT)]
    bounds = [request.max_usage.prompt_tokens or 0 for request in alone]
    assert {request.max_usage.prompt_tokens for request in (third, third.at("new"), third.at("third"))} == {max(bounds)}
    assert third.at("third").at("old").response_format is JSON_OBJECT


def test_without_a_fallback_a_refusal_fails_the_row() -> None:
    """The job has set the format."""
    played = script(falls_back=False)
    outcome = played.next([refused(request_of(played.next([])))])
    assert isinstance(outcome, Outcome)
    assert outcome.status is Status.FAILED


@pytest.mark.parametrize("content", ["Hello!", [{"type": "text", "text": "Hello!"}]])
def test_the_schema_reaches_the_model(content: Any) -> None:
    """By `response_format`, or at the end of the user's last message."""
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "{"}]
    sent = {form: body(request_of(script(present=form, messages=messages).next([]))) for form in ResponseFormat}
    assert sent[JSON_SCHEMA]["response_format"]["json_schema"] == {"name": "reply", "schema": SCHEMA}
    assert sent[JSON_SCHEMA]["messages"] == messages
    assert sent[JSON_OBJECT]["response_format"] == {"type": "json_object"}
    assert "response_format" not in sent[NONE]
    assert sent[JSON_OBJECT]["messages"] == sent[NONE]["messages"]
    words = "Reply with JSON alone, which fits this JSON Schema:\n" + json.dumps(SCHEMA, separators=(",", ":"))
    first, last = sent[NONE]["messages"]
    assert last == messages[1]
    asked = f"Hello!\n\n{words}" if isinstance(content, str) else [*content, {"type": "text", "text": words}]
    assert first == {"role": "user", "content": asked}


def test_a_row_s_own_format_is_sent() -> None:
    """And its refusal is the row's."""
    played = script(params={"response_format": {"type": "text"}})
    first = request_of(played.next([]))
    assert (body(first)["response_format"], first.response_format) == ({"type": "text"}, None)
    assert isinstance(played.next([refused(first)]), Outcome)


def test_the_identity_is_of_what_is_expected() -> None:
    """Not of the format, nor of how often is asked again; a request without an expectation has none of it."""
    base = script()
    assert base.identity == script(present=NONE, re_ask=3).identity
    assert base.identity != script(schema={}).identity
    assert base.identity != script(matches="a").identity
    assert base.identity != base.inner.identity


def test_the_bound_covers_all_requests() -> None:
    """Whatever the replies, up to as many tokens as they may have."""
    played = script(re_ask=2)
    attempts: list[Attempt] = []
    prompt_tokens = completion_tokens = 0
    while isinstance(request := played.next(attempts), Request):
        most = request.max_usage
        assert most.prompt_tokens is not None
        assert most.completion_tokens is not None
        prompt_tokens, completion_tokens = (
            prompt_tokens + most.prompt_tokens,
            completion_tokens + most.completion_tokens,
        )
        attempts.append(answered(request, "y" * 50))
    bound = played.bound
    assert bound.completion_tokens == completion_tokens == 150
    assert bound.prompt_tokens is not None
    assert bound.prompt_tokens >= prompt_tokens
    assert bound.cost_usd == (bound.prompt_tokens * PRICE.input + 150 * PRICE.output) / 1_000_000
    assert script(re_ask=0).bound == request_of(script(re_ask=0).next([])).max_usage
    assert script(params={"temperature": 0}).bound.cost_usd is None


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "array", "items": {}}, False),
        ({"type": "object", "properties": {}, "additionalProperties": False, "minProperties": 1}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"b": {}}}}},
                "required": ["a"],
                "additionalProperties": False,
            },
            False,
        ),
    ],
)
def test_strict(schema: Any, *, strict: bool) -> None:
    """Only for a schema that keeps OpenAI's rules, all the way down."""
    assert is_strict(schema) is strict
