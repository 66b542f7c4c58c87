"""The official `openai` client against the mock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from batchchat.mock import Fault, MockOptions, MockServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai.types.chat import ChatCompletionMessageParam

MODEL = "microsoft/WizardLM-2-8x22B"
WHY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why is the sky blue?"}]


@asynccontextmanager
async def client_of(options: MockOptions, key: str = "k") -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        MockServer(options) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1/openai", api_key=key, max_retries=0) as client,
    ):
        yield client


def test_it_completes_and_streams_the_same() -> None:
    """A completion and a stream of the same request join to the same text; usage comes as asked."""

    async def scenario() -> None:
        async with client_of(MockOptions(api_key="k")) as client:
            plain = await client.chat.completions.create(model=MODEL, messages=WHY, max_tokens=50)
            assert plain.usage is not None
            assert plain.usage.completion_tokens <= 50
            assert getattr(plain.usage, "estimated_cost", 0) > 0
            for asked in (None, {"include_usage": True}):
                # The client's types allow no null here, its wire format does.
                extra = {"stream_options": asked}
                stream = await client.chat.completions.create(
                    model=MODEL, messages=WHY, max_tokens=50, stream=True, extra_body=extra
                )
                chunks = [chunk async for chunk in stream]
                pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
                assert "".join(pieces) == plain.choices[0].message.content
                assert len(pieces) > 5
                usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
                assert usages == ([plain.usage] if asked else [])

    asyncio.run(scenario())


def test_it_parses_into_a_model() -> None:
    """The client's own parsing of structured outputs gets what its data model declares."""

    class Review(BaseModel):
        label: Literal["positive", "negative"]
        score: int = Field(ge=1, le=5)
        reasons: list[str]

    async def scenario() -> None:
        async with client_of(MockOptions()) as client:
            answer = await client.chat.completions.parse(model=MODEL, messages=WHY, response_format=Review)
            assert isinstance(answer.choices[0].message.parsed, Review)

    asyncio.run(scenario())


def test_it_lists_and_retrieves_models() -> None:
    """models.list and models.retrieve give the same; an unknown model is NotFoundError."""

    async def scenario() -> None:
        async with client_of(MockOptions()) as client:
            listed = [model async for model in client.models.list()]
            assert listed[0].id == MODEL
            assert await client.models.retrieve(MODEL) == listed[0]
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("no-such/model")

    asyncio.run(scenario())


LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x" * 4000}]


@pytest.mark.parametrize(
    ("options", "model", "messages", "expected"),
    [
        (MockOptions(api_key="another"), MODEL, WHY, openai.AuthenticationError),
        (MockOptions(), "no-such-model", WHY, openai.NotFoundError),
        (MockOptions(faults=(Fault("429", 1),)), MODEL, WHY, openai.RateLimitError),
        (MockOptions(), MODEL, [], openai.UnprocessableEntityError),
        (MockOptions(context_length=500), MODEL, LONG, openai.BadRequestError),
        (MockOptions(faults=(Fault("503", 1),)), MODEL, WHY, openai.InternalServerError),
        (MockOptions(faults=(Fault("drop", 1),)), MODEL, WHY, openai.APIConnectionError),
    ],
)
def test_it_raises_what_it_should(
    options: MockOptions,
    model: str,
    messages: list[ChatCompletionMessageParam],
    expected: type[openai.OpenAIError],
) -> None:
    """Each refusal is the client's typed error."""

    async def scenario() -> None:
        async with client_of(options) as client:
            with pytest.raises(expected):
                await client.chat.completions.create(model=model, messages=messages)

    asyncio.run(scenario())
