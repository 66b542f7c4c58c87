"""What an endpoint does unsaid is noticed, once, and nothing is noticed that is not so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, Outcome, Reply, Usage, Verdict
from batchchat.core.conversation import ErrorKind, Key, Row, Status
from batchchat.core.events import (
    ContextLimitFound,
    Event,
    GatewayTimeoutFound,
    OtherModelServed,
    OtherTierServed,
    PromptTruncated,
    StreamNoticed,
)
from batchchat.endpoint.wire import compose
from batchchat.execution.anomaly_detector import AnomalyDetector
from tests.dispatch.made import failed, request

Content = str | list[dict[str, Any]]


class Watched:
    """Notices with what they told."""

    def __init__(self, *, streams: bool = False, **params: Any) -> None:
        self.told: list[Event] = []
        self.notices = AnomalyDetector(self.told.append, params, streams=streams)

    def answer(
        self,
        text: Content = "Hello",
        prompt: int | None = None,
        completion: int | None = 10,
        *,
        own: dict[str, Any] | None = None,
        model: str = "m",
        tier: str | None = None,
        streamed: bool = False,
        refused: str | None = None,
    ) -> None:
        """One answered row."""
        row = Row(Key("r1"), 0, "f:1", [{"role": "user", "content": text}], own or {})
        asked = compose(row.key, "m", row.messages, own or {})
        total = None if prompt is None else prompt + (completion or 0)
        usage = Usage(prompt, completion, total)
        verdict = Verdict(Action.ACCEPT, billed=Billed.YES, refused_field=refused)
        reply = Reply("x", model=model, service_tier=tier)
        attempt = Attempt(asked, verdict, 0, 0, 1, 200, reply, usage=usage, streamed=streamed)
        self.notices.answered(Outcome(row, Status.ANSWERED, row.messages, attempt))

    def fail(self, latency_s: float, status: int = 504) -> None:
        """One attempt that failed."""
        kind = ErrorKind.GATEWAY_TIMEOUT
        self.notices.failed(failed(request(), kind, status=status, latency_s=latency_s))


def test_another_model_is_told_once_for_each_pair() -> None:
    """A deprecated model that is forwarded is told with both names; the price may differ."""
    watched = Watched()
    for served in ("m", "new", "new", "newer"):
        watched.answer(model=served)
    assert watched.told == [OtherModelServed("m", "new"), OtherModelServed("m", "newer")]


def test_another_tier_is_told_once_with_both() -> None:
    """A flex or priority request that is served otherwise is told; the row's own wish wins over the job's."""
    watched = Watched(service_tier="flex")
    for tier in ("flex", "default", "default", None):
        watched.answer(tier=tier)
    watched.answer(tier="default", own={"service_tier": "priority"})
    watched.answer(tier="default", own={"service_tier": "auto"})
    assert watched.told == [OtherTierServed("flex", "default"), OtherTierServed("priority", "default")]
    unasked = Watched()
    unasked.answer(tier="default")
    assert unasked.told == []


def test_what_an_endpoint_makes_of_streams_is_told_once() -> None:
    """Streams that were not asked for, none where they were, and that their usage can't be asked for."""
    for streams, noticed in ((False, StreamNoticed("unasked", "r1")), (True, StreamNoticed("ignored", "r1"))):
        watched = Watched(streams=streams)
        for _ in range(2):
            watched.answer(streamed=streams)
            watched.answer(streamed=not streams)
        assert watched.told == [noticed]
    watched = Watched(streams=True)
    for _ in range(2):
        watched.answer(streamed=True, refused="stream_options")
    assert watched.told == [StreamNoticed("no usage", "r1")]


@pytest.mark.parametrize("status", [502, 504, 524])
def test_a_gateway_that_cuts_long_generations_is_told_once(status: int) -> None:
    """Five of its errors after about the same time, and not before, are no accident."""
    watched = Watched()
    for latency_s in (60.0, 60.1, 60.4, 60.1):
        watched.fail(latency_s, status)
    assert watched.told == []
    for _ in range(20):
        watched.fail(59.9, status)
    (told,) = watched.told
    assert isinstance(told, GatewayTimeoutFound)
    assert (told.http_status, told.requests, round(told.latency_s)) == (status, 5, 60)


def test_other_failures_are_no_gateway() -> None:
    """Early errors, errors after all kinds of times, and other statuses say nothing of the length of replies."""
    watched = Watched()
    for number in range(40):
        watched.fail(0.2)
        watched.fail(60.0, 500)
        watched.fail(25.0 + 7 * (number % 9))
    assert watched.told == []


LONG = "The quick brown fox jumps over the lazy dog. " * 1000


def test_a_prompt_with_too_few_tokens_is_told_once() -> None:
    """45 kB of English are some 10,000 tokens: an endpoint that counts 3,584 of them has not read the rest."""
    watched = Watched()
    watched.answer(LONG, 10_000)
    watched.answer(LONG, 3_800)
    assert watched.told == []
    watched.answer(LONG, 3_584)
    watched.answer([{"type": "text", "text": LONG}], 2_000)
    assert watched.told == [PromptTruncated("r1", 45_000, 3_584)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("-" * 200_000, 3_000),
        ("name" + " " * 80_000 + "value", 1_200),
        ([{"type": "image_url", "image_url": {"url": "data:" + "A" * 200_000}}], 800),
        (LONG, 0),
        (LONG, None),
        ("Hello" * 500, 20),
    ],
)
def test_what_is_no_running_text_proves_nothing(text: Content, tokens: int | None) -> None:
    """Lines of dashes, blanks, images, a cached prompt counted as 0, and short texts are left alone."""
    watched = Watched()
    watched.answer(text, tokens)
    assert watched.told == []


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=200),
    st.integers(1, 300),
    st.integers(3, 11),
)
def test_a_prompt_that_was_read_is_never_suspected(text: str, times: int, bytes_a_token: int) -> None:
    """Whatever the text, up to 11 bytes a token are believed."""
    watched = Watched()
    whole = text * times
    watched.answer(whole, max(1, len(json.dumps(whole, ensure_ascii=False).encode()) // bytes_a_token))
    assert watched.told == []


def test_a_wall_is_told_once() -> None:
    """Rows of different length that all end at exactly 4,096 tokens met the context's end (Ollama does that)."""
    watched = Watched()
    for number in range(4):
        watched.answer("x" * number, 4000 - number, 96 + number)
        watched.answer("x" * number, 1000 + number, 96)
    assert watched.told == []
    for number in range(9):
        watched.answer("x" * number, 4000 - number, 96 + number)
    assert watched.told == [ContextLimitFound(4096, 5)]


def test_equal_totals_that_are_no_wall() -> None:
    """Totals that others pass, that are no round number, of one length, or cut by our own max_tokens are no wall."""
    for totals in ([4096, 4096, 4100] * 9, [4000] * 9):
        watched = Watched()
        for number, total in enumerate(totals):
            watched.answer("x" * number, total - 50, 50)
        assert watched.told == []
    same = Watched()
    for _ in range(50):
        same.answer("same", 4000, 96)
    assert same.told == []
    asked = Watched(max_tokens=1000)
    for number in range(50):
        asked.answer("x" * (number % 7), 24, 1000)
    assert asked.told == []
