"""What is exported as a batch's output is judged as it was when it came."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Reply
from batchchat.core.conversation import ErrorKind, Key
from batchchat.core.price import Price
from batchchat.core.record import reply_fields, usage_fields
from batchchat.endpoint.batch_response import judged_attempt
from batchchat.endpoint.reply_verdicts import has_content
from batchchat.endpoint.wire import compose
from batchchat.pricing.cost import batch_pricing
from batchchat.pricing.rates import Rates
from batchchat.results.export_formats import EXPORT_FORMATS
from tests.store.given import answered, failed

REQUEST = compose(Key("a"), "m", [{"role": "user", "content": "Hi"}], {})
PRICING = batch_pricing(Rates("h", job_model="m", job_price=Price(Decimal(1), Decimal(2), None)))

texts = st.text(max_size=20)
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)
calls = st.lists(
    st.fixed_dictionaries(
        {
            "id": words,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": words, "arguments": texts}),
        }
    ),
    min_size=1,
    max_size=2,
)
replies = st.builds(
    Reply,
    text=st.none() | texts,
    finish_reason=st.none() | st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    tool_calls=st.none() | calls,
    refusal=st.none() | texts,
    reasoning=st.none() | st.text(min_size=1, max_size=9),
    model=st.none() | words,
    service_tier=st.none() | words,
    response_id=st.none() | words,
    parts=st.none(),
    logprobs=st.none() | st.builds(lambda token: {"content": [{"token": token, "logprob": -0.5}]}, texts),
)
counts = st.integers(1, 10**6)


@st.composite
def usages(draw: st.DrawFn) -> dict[str, int]:
    """Tokens as endpoints report them; what only the total has is reasoning."""
    prompt, completion = draw(counts), draw(counts)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    usage["total_tokens"] += draw(st.integers(0, 1000))
    for name in ("cached_tokens", "reasoning_tokens"):
        if draw(st.booleans()):
            usage[name] = draw(counts)
    return usage


def exported(row: Any) -> Any:
    (line,) = EXPORT_FORMATS["openai-batch"]({}).lines([row])
    assert isinstance(line, bytes)
    return json.loads(line)


@given(reply=replies, usage=usages(), cost=st.none() | st.floats(0, 100))
def test_an_answer_comes_back(reply: Reply, usage: dict[str, int], cost: float | None) -> None:
    """The reply in all its parts, its tokens, and its cost to the last digit, or computed once more."""
    assume(has_content(reply))
    money: dict[str, Any] = {"cost_usd": cost, "cost_source": None if cost is None else "reported"}
    response = exported(answered(reply=reply_fields(reply), usage=usage, **money))["response"]
    attempt = judged_attempt(REQUEST, response["status_code"], response["body"], None, PRICING, keep_raw=False)
    assert attempt.verdict.action is Action.ACCEPT
    assert attempt.reply is not None
    assert attempt.usage is not None
    assert attempt.cost is not None
    # The format wants a model, so that it is the one requested where the endpoint named none.
    assert attempt.reply == reply._replace(model=reply.model or "asked/model")
    assert usage_fields(attempt.usage) == usage
    billed = usage["total_tokens"] - usage["prompt_tokens"]
    computed = (Decimal(usage["prompt_tokens"]) + 2 * billed) / 1_000_000
    assert attempt.cost.usd == (computed if cost is None else Decimal(repr(cost)))
    assert attempt.cost.source == ("job" if cost is None else "reported")


failures = st.sampled_from(sorted(set(ErrorKind) - {ErrorKind.INVALID_INPUT}))


@given(kind=failures, text=texts, status=st.none() | st.sampled_from([400, 401, 404, 429, 500, 503]))
def test_a_failure_comes_back(kind: ErrorKind, text: str, status: int | None) -> None:
    """Its kind, its words and its HTTP status."""
    line = exported(failed(error_kind=kind.value, error=text, http_status=status))
    response = line["response"] or {"status_code": None, "body": None}
    attempt = judged_attempt(REQUEST, response["status_code"], response["body"], line["error"], PRICING, keep_raw=False)
    assert attempt.failure is not None
    assert (attempt.failure.kind, attempt.http_status) == (kind, status)
    assert attempt.failure.text == text or not text.strip()
