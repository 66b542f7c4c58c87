"""The commands of DeepInfra's page on WizardLM-2-8x22B, run by curl against the mock."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import orjson
import pytest

from batchchat.mock import MockOptions, MockServer

COMMAND = r"""curl -sS "$ROOT/v1/openai/chat/completions" \
-H "Content-Type: application/json" \
-H "Authorization: Bearer $DEEPINFRA_TOKEN" \
-d '"""
HELLO = r"""{
"model": "microsoft/WizardLM-2-8x22B",
"messages": [
{
"role": "user",
"content": "Hello!"
}
]
}'"""
CHEF = r"""{
"model": "microsoft/WizardLM-2-8x22B",
"messages": [
{
"role": "system",
"content": "Respond like a michelin starred chef."
},
{
"role": "user",
"content": "Can you name at least two different techniques to cook lamb?"
},
{
"role": "assistant",
"content": "Bonjour! Let me tell you, my friend, cooking lamb is an art form, and I'"'"'m more than happy to share with you not two, but three of my favorite techniques to coax out the rich, unctuous flavors and tender textures of this majestic protein. First, we have the classic \"Sous Vide\" method. Next, we have the ancient art of \"Sous le Sable\". And finally, we have the more modern technique of \"Hot Smoking.\""
},
{
"role": "user",
"content": "Tell me more about the second method."
}
]
}'"""  # noqa: E501 - the page's own line
HELLO_TEXT = (
    " Hello! It's nice to meet you. Is there something I can help you with or would you like to chat for a bit?"
)
STREAMED = HELLO.replace('"messages"', '"stream": true,\n"messages"')


def curl(body: str) -> bytes:
    """What the page's command prints for this body."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")

    async def scenario() -> bytes:
        async with MockServer(MockOptions(api_key="page-key")) as root:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                COMMAND + body,
                stdout=asyncio.subprocess.PIPE,
                env={
                    "ROOT": root,
                    "DEEPINFRA_TOKEN": "page-key",
                    "PATH": program.rpartition("/")[0],
                    "NO_PROXY": "*",
                },
            )
            printed, _ = await process.communicate()
            assert process.returncode == 0
            return printed

    return asyncio.run(scenario())


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer.pop("id").startswith("chatcmpl-")
    assert answer.pop("created") > 1694623155
    return answer


def test_hello() -> None:
    """The page's first command prints the page's answer, digit for digit."""
    printed = curl(HELLO)
    assert without_id(orjson.loads(printed)) == {
        "object": "chat.completion",
        "model": "microsoft/WizardLM-2-8x22B",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": HELLO_TEXT,
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 16,
            "total_tokens": 31,
            "estimated_cost": 0.0000268,
        },
    }
    assert b'"estimated_cost":0.0000268}' in printed


def test_chef() -> None:
    """The page's conversation continues as on the page."""
    answer = without_id(orjson.loads(curl(CHEF)))
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Sous le Sable, my friend! It's an ancient technique that's been used for "
                "centuries in the Middle East and North Africa. The name itself...",
            },
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {
        "prompt_tokens": 149,
        "total_tokens": 487,
        "completion_tokens": 338,
        "estimated_cost": 0.00035493,
    }


def test_streaming() -> None:
    """The page's streaming command prints events like the page's, ending in [DONE], without usage.

    Their text is the page's unstreamed one.
    """
    events = curl(STREAMED).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    answers = [without_id(orjson.loads(event.removeprefix("data: "))) for event in events[:-2]]
    head = {"object": "chat.completion.chunk", "model": "microsoft/WizardLM-2-8x22B"}
    deltas = [answer["choices"][0]["delta"] for answer in answers[:-1]]
    assert answers == [
        *({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas),
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    assert all(delta["role"] == "assistant" for delta in deltas)
    assert [delta["content"] for delta in deltas[:3]] == ["", " Hello!", " It's"]
    assert "".join(delta["content"] for delta in deltas) == HELLO_TEXT
