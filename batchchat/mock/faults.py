"""Faults on purpose, and which requests they hit.

    kind           the client sees                                     billed
    429            429 engine_overloaded at once, no slot taken        no
    500, 503       the status, after the latency                       no
    drop           the connection closed, no byte sent                 no
    error-in-200   200 with an `error` object (OpenRouter does that)   no
    drop-after     the connection closed, no byte sent                 yes
    truncate       200, half of the body, then the connection closed   yes
    garbage        200 with bytes that are no JSON                     yes
    empty          a whole answer with content ""                      yes
    slow           the answer, `slow_s` later                          yes
    bad-json       JSON that is fenced, chatty, cut or wrong           yes

Each configured fault draws once per request, from the seed and the request's arrival number alone; the first
that hits wins, in the order they were given. `bad-json` is of requests whose answer is JSON, and as the answer itself
is, it is drawn from the request's content: the same request gets the same bad answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchchat.mock.chance import uniform

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BAD_JSON", "KINDS", "OVERLOADED", "UNBILLED_ANSWERS", "Fault", "draw_fault", "parse_fault"]

BAD_JSON = "bad-json"
KINDS = (
    "429",
    "500",
    "503",
    "drop",
    "drop-after",
    "truncate",
    "garbage",
    "empty",
    "slow",
    "error-in-200",
    BAD_JSON,
)

# As DeepInfra sends it; the type misleads, it can be tried again.
OVERLOADED: dict[str, Any] = {
    "error": {
        "message": "Model busy, retry later",
        "type": "invalid_request_error",
        "code": "engine_overloaded",
    }
}

UNBILLED_ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "500": (500, {"error": {"message": "Internal error"}}),
    "503": (503, {"error": {"message": "Service unavailable"}}),
    "error-in-200": (200, {"error": {"message": "Provider returned error", "code": 502}}),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault and the share of requests it hits, 0 to 1."""

    kind: str
    probability: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}: the kinds are {', '.join(KINDS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"the probability of fault {self.kind} is {self.probability}, not within 0 to 1")


def parse_fault(text: str) -> Fault:
    """Read `KIND=PROBABILITY`, such as `429=0.05`.

    Raises `ValueError` that names the text and what is accepted.
    """
    kind, _, probability = text.partition("=")
    try:
        return Fault(kind.strip(), float(probability))
    except ValueError:
        raise ValueError(
            f"fault {text!r} is not KIND=PROBABILITY with a kind of {', '.join(KINDS)} "
            "and a probability within 0 to 1, such as 429=0.05"
        ) from None


def draw_fault(faults: Iterable[Fault], seed: int, arrival: int, json_request: bytes | None = None) -> str | None:
    """The kind of fault that hits the request which arrived as number `arrival`, or None.

    `json_request` is the digest of a request whose answer is JSON.
    """
    for position, fault in enumerate(faults):
        subject = json_request if fault.kind == BAD_JSON else arrival
        if subject is not None and uniform("fault", seed, subject, position, fault.kind) < fault.probability:
            return fault.kind
    return None
