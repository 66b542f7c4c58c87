"""The keys of a job, declared once.

The loader, the README's reference and the JSON Schema are read off this table. A key is accepted only once it
does something; what the contract has beyond that stands in `PLANNED` and is refused by name. Defaults are
those of the nouns in `spec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from batchchat.job.endpoint import base_url, headers, key_name
from batchchat.job.params import WELL_KNOWN, params
from batchchat.job.paths import input_paths, output_path
from batchchat.job.spec import PART_ROWS, EndpointSpec, RetrySpec, TimeoutSpec
from batchchat.job.stop_at import stop_at
from batchchat.job.tree import printable
from batchchat.job.value_types import (
    ValueType,
    boolean,
    command,
    integer,
    line,
    literal_or,
    money,
    number,
    one_of,
    string_list,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AUTO",
    "FREE",
    "KEYS",
    "MAX_CONCURRENCY",
    "PLANNED",
    "SECTIONS",
    "JobKey",
    "children",
    "nearest",
    "not_a_key",
]


@dataclass(frozen=True, slots=True)
class JobKey:
    """A key of the job file: its dotted name, what it takes, what it is for, its default or words for it."""

    name: str
    type: ValueType
    help: str
    default: Any = None
    required: bool = False
    default_words: str | None = None


AUTO = "auto"
"""The word for a concurrency that the endpoint is asked for."""
MAX_CONCURRENCY = 10_000

_RETRY = RetrySpec()
_TIMEOUT = TimeoutSpec()
_SECONDS = number(above=0)
_PATIENCE = number(minimum=0)
_PACE = number(above=0)

KEYS: tuple[JobKey, ...] = (
    JobKey(
        "name",
        line(),
        "what the job is called in messages",
        default_words="the job file's name without its suffix",
    ),
    JobKey("input.path", input_paths(), "file, folder or glob of rows, or a list of them", required=True),
    JobKey(
        "input.format",
        one_of(("auto", "messages", "prompt", "openai-batch", "sharegpt"), planned=("turns",)),
        "how a row holds its conversation",
        default="auto",
    ),
    JobKey(
        "input.id",
        line("the name of a column"),
        "column of unique ids; without one, a hash of the conversation",
    ),
    JobKey("input.column", line("the name of a column"), "column of the conversation or the prompt"),
    JobKey(
        "input.params",
        line("the name of a column"),
        "column whose object is merged over `params`, row by row",
    ),
    JobKey("input.first", integer(1), "only the first N rows"),
    JobKey("input.random", integer(1), "only N rows, chosen at random; more rows asked for keep those chosen before"),
    JobKey("input.seed", integer(0), "which rows `input.random` chooses", default=0),
    JobKey("input.columns", string_list(), "columns carried to the output", default_words="all but the conversation"),
    JobKey("system", text(), "system message put first where a conversation has none"),
    JobKey("model", line("the name of a model"), "the model, as the endpoint names it", required=True),
    JobKey(
        "endpoint.base_url",
        base_url(),
        "where requests go; `mock` needs no key",
        default=EndpointSpec().base_url,
    ),
    JobKey(
        "endpoint.api_key_env",
        key_name(),
        "the variable that holds the key",
        default_words="DEEPINFRA_TOKEN at api.deepinfra.com, else none",
    ),
    JobKey(
        "endpoint.context_length",
        integer(1),
        "tokens that a prompt and its reply may have together",
        default_words="what the endpoint's list of models or the price table says",
    ),
    JobKey("endpoint.headers", headers(), "further HTTP headers", default={}),
    JobKey("params", params(), "parameters of the request, sent as they stand", default={}),
    JobKey(
        "concurrency",
        literal_or(AUTO, integer(1, MAX_CONCURRENCY)),
        "ceiling of requests in flight; `auto` asks the endpoint",
        default=200,
    ),
    JobKey("adaptive", boolean(), "lower that on 429 and overload, and grow it back", default=True),
    JobKey("limits.requests_per_minute", _PACE, "requests a minute at most, evenly"),
    JobKey("limits.tokens_per_minute", _PACE, "tokens a minute at most, prompts and replies"),
    JobKey("timeout.total", _SECONDS, "seconds for one attempt", default=_TIMEOUT.total),
    JobKey("timeout.connect", _SECONDS, "seconds until an attempt is connected", default=_TIMEOUT.connect),
    JobKey("retry.max_attempts", integer(1), "attempts for one row", default=_RETRY.max_attempts),
    JobKey("retry.max_wait", _PATIENCE, "longest wait between two attempts, seconds", default=_RETRY.max_wait),
    JobKey("retry.max_elapsed", _PATIENCE, "longest time spent on one row, seconds", default=_RETRY.max_elapsed),
    JobKey("retry.max_outage", _PATIENCE, "longest outage that is waited out, seconds", default=_RETRY.max_outage),
    JobKey(
        "retry.stop_after_failures",
        integer(1),
        "the run stops if this many rows, the first or any in succession, all fail alike",
        default=_RETRY.stop_after_failures,
    ),
    JobKey(
        "retry.max_possibly_billed",
        integer(1),
        "attempts of one row that may break off and be billed all the same",
        default=_RETRY.max_possibly_billed,
    ),
    JobKey("drain", _PATIENCE, "seconds that requests in flight get after a signal", default=30.0),
    JobKey("budget.max_cost", money(above=0), "USD the job may cost in all, over all its resumes"),
    JobKey("budget.stop_at", stop_at(), "when the run is to end: `07:30`, a date and time, or a duration such as `6h`"),
    JobKey("confirm_above", money(), "USD above which `run` shows its estimate and asks, or wants `--yes`"),
    JobKey("price.input", money(), "USD per million prompt tokens, where the endpoint reports no cost"),
    JobKey("price.output", money(), "USD per million completion tokens"),
    JobKey("price.cached_input", money(), "USD per million cached prompt tokens"),
    JobKey(
        "prices",
        line("the path of a price table"),
        "a price table of your own in place of the package's, CSV as `batchchat prices --csv` prints it",
        default_words="the table of the package",
    ),
    JobKey(
        "estimate.tokenizer",
        line("the path of a tokenizer.json"),
        "the model's tokenizer.json, to count tokens with",
        default_words="the model's own where it is known, else a rule of thumb",
    ),
    JobKey("on_finish", command(), "command run when a run has ended, with its summary as JSON on stdin"),
    JobKey("output.path", output_path(), "the Parquet file to write, or a folder of part files", required=True),
    JobKey(
        "output.order", one_of(("input", "completion")), "rows as in the input, or as they finished", default="input"
    ),
    JobKey("output.part_rows", integer(1), "rows of one part file, where the output is a folder", default=PART_ROWS),
    JobKey("output.raw", boolean(), "keep each response's JSON as it came, in the column `raw`", default=False),
)

# The contract's keys that later versions bring.
PLANNED: frozenset[str] = frozenset(
    {
        "template",
        "samples",
        "expect",
    }
)

SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.name.partition(".")[0] for key in KEYS if "." in key.name))
# Keys whose entries are the user's own.
FREE: tuple[str, ...] = ("params", "endpoint.headers")

_NAMES = {key.name for key in KEYS}


def children(section: str) -> Mapping[str, JobKey | None]:
    """The keys right under `section` ("" is the top); None stands for a section."""
    below: dict[str, JobKey | None] = {}
    for key in KEYS:
        head, _, leaf = key.name.rpartition(".")
        if head == section:
            below[leaf] = key
        elif not section:
            below[head] = None
    return below


def not_a_key(section: str, leaf: str) -> str:
    """The sentence about `leaf` under `section` ("" is the top), which is no key, or not yet one."""
    dotted = f"{section}.{leaf}" if section else leaf
    if dotted in PLANNED:
        return f"`{dotted}` is not in this version of batchchat yet; leave it out."
    owner = f"`{section}`" if section else "a job"
    start = f"`{printable(leaf)}` is not a key of {owner}."
    candidate = nearest(section, leaf)
    if candidate in PLANNED:
        return f"{start} `{candidate}` is near, and not in this version of batchchat yet; leave it out."
    if candidate and section and not candidate.startswith(f"{section}."):
        return f"{start} Did you mean `{candidate}`, at the top of the job?"
    if candidate:
        return f"{start} Did you mean `{candidate.removeprefix(f'{section}.') if section else candidate}`?"
    names = list(children(section))
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{start} {'It' if section else 'A job'} takes {listed}."


def nearest(section: str, leaf: str) -> str | None:
    """The dotted key most likely meant: the nearest name here, else the same name at its right place."""
    prefix = f"{section}." if section else ""
    here = [*children(section), *(p.removeprefix(prefix) for p in PLANNED if _within(p, section))]
    if leaf in WELL_KNOWN and not section:
        return f"params.{leaf}"
    word = leaf.lower().replace("-", "_")
    if close := get_close_matches(word, here, n=1, cutoff=0.7):
        return prefix + close[0]
    if section:
        return next((name for name in children("") if name == leaf), None) if "." not in leaf else None
    if leaf.partition(".")[0] in _NAMES or leaf.rpartition(".")[0] in _NAMES:
        return leaf.rpartition(".")[0]
    elsewhere = [name for name in sorted(_NAMES) if name.rpartition(".")[2] == leaf]
    return elsewhere[0] if len(elsewhere) == 1 else None


def _within(planned: str, section: str) -> bool:
    return planned.rpartition(".")[0] == section
