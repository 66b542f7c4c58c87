"""The keys of a job, read off the fields of `JobSpec` that declare them, and the sentences about unknown keys.

A key is accepted only once it does something; the names in `PLANNED`, which later versions bring, are refused with
what can be done today.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from batchchat.job.declaration import SECTION, JobKey, declared_keys
from batchchat.job.params import WELL_KNOWN
from batchchat.job.spec import JobSpec
from batchchat.job.tree import printable
from batchchat.secret import is_plain_name
from batchchat.text.nearest import nearest_names

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "FREE_FORM",
    "KEYS",
    "PLANNED",
    "SECRET",
    "SECTIONS",
    "JobKey",
    "children",
    "declared_keys",
    "nearest",
    "not_a_key",
]


KEYS: tuple[JobKey, ...] = tuple(declared_keys(JobSpec))
SECTIONS: Mapping[str, Any] = {
    field.name: field.metadata[SECTION] for field in fields(JobSpec) if SECTION in field.metadata
}
"""The dataclass of each section's keys, by the section's name."""
FREE_FORM: tuple[str, ...] = tuple(key.name for key in KEYS if key.type.schema.get("type") == "object")
"""The keys whose value is a mapping with names of the user's own."""
SECRET: tuple[str, ...] = tuple(key.name for key in KEYS if key.type.secret)
"""The keys whose values are never shown."""

PLANNED: Mapping[str, str] = {
    "transport": "Rows are sent live; at some endpoints `params.service_tier: flex` is cheaper.",
    "deadline": "Set `budget.stop_at`, and choose the tier in `params.service_tier`.",
    "metrics": "Read `batchchat status JOB --json`, or the lines of `batchchat run JOB --progress log`.",
    "heartbeat_env": "Call the URL from `on_finish`, which also runs where a run ends early.",
}
"""The keys that later versions bring, each with what can be done today."""

_MAX_SHOWN_LENGTH = 16
_HIDDEN = "a name (not shown, in case it is an API key)"
_NAMES = {key.name for key in KEYS}


def children(section: str) -> Mapping[str, JobKey | None]:
    """The keys right under `section` ("" is the top); a section has the value None."""
    below: dict[str, JobKey | None] = {}
    for key in KEYS:
        if key.section == section:
            below[key.name.removeprefix(f"{section}.")] = key
        elif not section:
            below[key.section] = None
    return below


def not_a_key(section: str, leaf: str) -> str:
    """The sentence about `leaf` under `section` ("" is the top), which is no key, or not yet one."""
    dotted = f"{section}.{leaf}" if section else leaf
    if dotted in PLANNED:
        return f"`{dotted}` is not in this version of batchchat yet. {PLANNED[dotted]}"
    owner = f"`{section}`" if section else "a job"
    may_be_secret = section == "endpoint" and len(leaf) > _MAX_SHOWN_LENGTH and not is_plain_name(leaf)
    start = f"{_HIDDEN if may_be_secret else f'`{printable(leaf)}`'} is not a key of {owner}."
    candidate = nearest(section, leaf)
    if candidate is not None and candidate in PLANNED:
        return f"{start} `{candidate}` is near, and not in this version of batchchat yet. {PLANNED[candidate]}"
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
    if close := nearest_names(word, here, cutoff=0.7):
        return prefix + close[0]
    if section:
        return next((name for name in children("") if name == leaf), None) if "." not in leaf else None
    if leaf.partition(".")[0] in _NAMES or leaf.rpartition(".")[0] in _NAMES:
        return leaf.rpartition(".")[0]
    elsewhere = [name for name in sorted(_NAMES) if name.rpartition(".")[2] == leaf]
    return elsewhere[0] if len(elsewhere) == 1 else None


def _within(planned: str, section: str) -> bool:
    return planned.rpartition(".")[0] == section
