"""A report's figures as lines of CSV: the names of `--json`, flattened. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batchchat.results.export_formats import csv_line

__all__ = ["figures_csv"]


def figures_csv(lines: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> bytes:
    """A header and a line for each, what it is of and its figures in the form of `Tally.json`.

    `cost_usd: {known}` is `cost_usd_known`; each kind of failure has its rows under `failed_<kind>`. A kind or a source
    of cost that one line has is a column of all.
    """
    flat = [_flat(figures) for _, figures in lines]
    names = list(dict.fromkeys(name for line in flat for name in line))
    nothing = {name: 0 for name in names if name.startswith("failed_")}
    heads = [*(lines[0][0] if lines else ()), *names]
    bodies = [
        [*of.values(), *(line.get(name, nothing.get(name)) for name in names)]
        for (of, _), line in zip(lines, flat, strict=True)
    ]
    return b"".join(map(csv_line, [heads, *bodies]))


def _flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in figures.items() if name not in {"failures", "by"}}
    failures = {f"failed_{failure['error_kind']}": failure["rows"] for failure in figures["failures"]}
    return dict(_leaves("", plain)) | failures


def _leaves(prefix: str, tree: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{prefix}{name}_", value)
        else:
            yield f"{prefix}{name}", value
