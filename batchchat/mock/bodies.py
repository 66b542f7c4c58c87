"""The bytes of answers, with the form and key order of DeepInfra's model page.

`estimated_cost` is written as the exact decimal (`0.0000268`): of at most 15 digits, so a client's float of
it prints as that very decimal again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from batchchat.mock.chance import draw
from batchchat.mock.usage import INPUT_NANO_USD, OUTPUT_NANO_USD, MockUsage, per_million_usd, plain_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchchat.mock.replies import MockReply

__all__ = [
    "DONE",
    "billed_nano_usd",
    "chunks",
    "completion",
    "event",
    "model_entry",
    "model_list",
    "request_costs",
    "response_id",
]

MODELS = ("microsoft/WizardLM-2-8x22B", "meta-llama/Meta-Llama-3.1-8B-Instruct")
MODELS_CREATED = 1713100000
MAX_TOKENS = 16384

DONE = b"data: [DONE]\n\n"

_PIECE = re.compile(r"\s*\S+|\s+")
_ID = re.compile(r"chatcmpl-([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{12})")


def response_id(seed: int, arrival: int, cost_nano_usd: int) -> str:
    """An id of its own for each arrival.

    Its last 12 hex digits are what was billed, the 8 before them a stamp that no other arrival, cost or seed has, and
    the first 8 the arrival, masked by it: so the cost can be read from the id, and no table of ids is needed.
    """
    stamp = _stamp(seed, arrival, cost_nano_usd)
    return f"chatcmpl-{arrival ^ stamp:08x}{stamp:08x}{cost_nano_usd:012x}"


def billed_nano_usd(id_: str, seed: int, arrivals: int) -> int | None:
    """What the answer of this id was billed at; None for an id that none of the first `arrivals` requests got."""
    match = _ID.fullmatch(id_)
    if match is None:
        return None
    masked, stamp, cost = (int(digits, 16) for digits in match.groups())
    arrival = masked ^ stamp
    return cost if arrival < arrivals and stamp == _stamp(seed, arrival, cost) else None


def _stamp(seed: int, arrival: int, cost_nano_usd: int) -> int:
    return draw("id", seed, arrival, cost_nano_usd) >> 32


def request_costs(ids: Iterable[str], seed: int, arrivals: int) -> dict[str, Any]:
    """The body of POST /v1/request-costs, in the order of `ids`: Hugging Face's billing form, which DeepInfra serves.

    The cost of an unknown id is null.
    """
    return {"requests": [{"requestId": id_, "costNanoUsd": billed_nano_usd(id_, seed, arrivals)} for id_ in ids]}


def completion(reply: MockReply, model: str, id_: str, created: int) -> bytes:
    """A plain answer."""
    message = {"role": "assistant", "content": reply.text}
    return orjson.dumps(
        {
            "id": id_,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
            "usage": _usage(reply.usage),
        }
    )


def chunks(reply: MockReply, model: str, id_: str, created: int, *, include_usage: bool) -> Iterator[bytes]:
    """The events of a streamed answer, up to and with [DONE].

    As on DeepInfra's page, each delta of text has the role.
    """

    def chunk(choices: list[Any], **more: Any) -> bytes:
        return event(
            {
                "id": id_,
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
                "choices": choices,
                **more,
            }
        )

    for content in ("", *_PIECE.findall(reply.text)):
        delta = {"role": "assistant", "content": content}
        yield chunk([{"index": 0, "delta": delta, "finish_reason": None}])
    yield chunk([{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}])
    if include_usage:
        yield chunk([], usage=_usage(reply.usage))
    yield DONE


def event(data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def model_entry(model: str, context_length: int) -> dict[str, Any]:
    """A model as /models shows it; prices are USD per million tokens."""
    return {
        "id": model,
        "object": "model",
        "created": MODELS_CREATED,
        "owned_by": model.partition("/")[0],
        "root": model,
        "parent": None,
        "metadata": {
            "context_length": context_length,
            "max_tokens": MAX_TOKENS,
            "pricing": {
                "input_tokens": per_million_usd(INPUT_NANO_USD),
                "output_tokens": per_million_usd(OUTPUT_NANO_USD),
            },
        },
    }


def model_list(context_length: int) -> dict[str, Any]:
    """The body of GET /models; the mock also answers for any other model."""
    return {"object": "list", "data": [model_entry(model, context_length) for model in MODELS]}


def _usage(usage: MockUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "estimated_cost": orjson.Fragment(plain_usd(usage.cost_nano_usd)),
    }
