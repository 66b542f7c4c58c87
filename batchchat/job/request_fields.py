"""The fields of a chat completion request that an endpoint of ours knows, and what each takes.

From the API references of OpenAI, DeepInfra, OpenRouter, Mistral, vLLM, SGLang, llama.cpp and Ollama. A parameter that
is not here is sent as it stands all the same: the table serves to read columns that are text, to say what rows have and
the job doesn't send, and to ask about a name that is one letter off.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AMBIGUOUS",
    "NOT_SENT_FROM_ROWS",
    "PARAMETERS",
    "ROW_FIELDS",
    "FieldType",
    "misspelt_parameter",
    "one_letter_off",
]


class FieldType(Enum):
    """What a field takes; the value is how a message says it."""

    NUMBER = "a number"
    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    TEXT = "text"
    OBJECT = "an object"
    LIST = "a list"
    TEXT_OR_LIST = "text or a list"
    TEXT_OR_OBJECT = "text or an object"


def _of(field_type: FieldType, names: str) -> dict[str, FieldType]:
    return dict.fromkeys(names.split(), field_type)


PARAMETERS: Mapping[str, FieldType] = {
    **_of(
        FieldType.NUMBER,
        "temperature top_p frequency_penalty length_penalty min_p presence_penalty repetition_penalty top_a typical_p",
    ),
    **_of(
        FieldType.INTEGER,
        "best_of max_completion_tokens max_tokens min_tokens n num_ctx random_seed seed thinking_budget top_k"
        " top_logprobs truncate_prompt_tokens",
    ),
    **_of(
        FieldType.BOOLEAN,
        "cache_prompt enable_thinking ignore_eos include_reasoning logprobs parallel_tool_calls safe_prompt"
        " separate_reasoning skip_special_tokens store stream",
    ),
    **_of(
        FieldType.TEXT,
        "guided_grammar guided_regex prompt_cache_key reasoning_effort safety_identifier service_tier user verbosity",
    ),
    **_of(
        FieldType.OBJECT,
        "audio chat_template_kwargs guided_json logit_bias metadata options prediction provider reasoning"
        " response_format stream_options structured_outputs thinking usage web_search_options",
    ),
    **_of(FieldType.LIST, "functions guided_choice modalities models plugins stop_token_ids tools transforms"),
    **_of(FieldType.TEXT_OR_LIST, "stop"),
    **_of(FieldType.TEXT_OR_OBJECT, "function_call tool_choice"),
}
"""What each parameter takes."""

ROW_FIELDS: Mapping[str, FieldType] = {**PARAMETERS, "model": FieldType.TEXT, "system": FieldType.TEXT}
"""What a column of a row takes that is sent: a parameter, the row's own model or its system message."""

NOT_SENT_FROM_ROWS = frozenset({"metadata", "usage"})
"""Columns that are a row's own notes where it is a request body: OpenAI's cookbook names its rows so."""

AMBIGUOUS = frozenset(
    [
        "audio",
        "best_of",
        "metadata",
        "modalities",
        "models",
        "n",
        "options",
        "plugins",
        "prediction",
        "provider",
        "reasoning",
        "store",
        "stream",
        "stream_options",
        "thinking",
        "transforms",
        "usage",
        "user",
        "verbosity",
    ]
)
"""Parameters whose names are as often a dataset's own columns: nothing is said of such columns."""

_SHORTEST_ASKED_ABOUT = 4


def misspelt_parameter(name: str) -> str | None:
    """The parameter that `name` is one letter away from (or two exchanged); None if it is known, or near none."""
    if name in ROW_FIELDS or name == "messages":
        return None
    candidates = (parameter for parameter in PARAMETERS if len(parameter) >= _SHORTEST_ASKED_ABOUT)
    return next((parameter for parameter in candidates if one_letter_off(name, parameter)), None)


def one_letter_off(name: str, parameter: str) -> bool:
    """True where one letter is missing, too many or another, or two neighbours are exchanged; also for equal names."""
    if abs(len(name) - len(parameter)) > 1:
        return False
    pairs = enumerate(zip(name, parameter, strict=False))
    start = next((at for at, (a, b) in pairs if a != b), min(len(name), len(parameter)))
    left, right = name[start:], parameter[start:]
    return (
        left[1:] == right[1:]
        or left[1:] == right
        or left == right[1:]
        or (left[:2] == right[1::-1] and left[2:] == right[2:])
    )
