"""`endpoints: {file: nodes.txt}`: one endpoint a line, read again while the run goes on.

A line is a base_url, and behind it, if wanted, `name=`, `weight=`, `concurrency=` and `model=`; `#` begins a comment.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.endpoint_spec import EndpointEntry
from batchchat.job.endpoints import MAX_ENDPOINTS, entry_of
from batchchat.job.tree import MappingNode, Node, Scalar

__all__ = ["EndpointLines", "EndpointsFile", "read_endpoints_file"]

_COMMENT = re.compile(r"(^|\s)#.*")
_KEYS = ("name", "weight", "concurrency", "model")
_MAX_BYTES = 1 << 20


class EndpointLines(NamedTuple):
    """What a file of endpoints says: the endpoints, and what is wrong with lines that are not used."""

    endpoints: tuple[EndpointEntry, ...]
    problems: tuple[str, ...]


def read_endpoints_file(path: Path, as_given: str) -> EndpointLines:
    """The lines of the file at `path`, which messages call `as_given`. Raises `OSError`, `UnicodeDecodeError`."""
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8-sig")
    endpoints, problems = dict[str, EndpointEntry](), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not (words := _COMMENT.sub("", line).split()):
            continue
        where = f"{as_given}:{number}"
        try:
            endpoint = _endpoint(words, where)
        except RefusedError as exc:
            problems += [f"{where}: {diagnostic.sentence}" for diagnostic in exc.diagnostics]
            continue
        if endpoint.is_mock:
            problems.append(f"{where}: `mock` can't be in a file of endpoints. Give a URL.")
        elif endpoint.name in endpoints:
            problems.append(
                f"{where}: {endpoint.name} is in the file already. Give each endpoint a `name=` of its own."
            )
        elif len(endpoints) == MAX_ENDPOINTS:
            problems.append(
                f"{where}: the file has more than {MAX_ENDPOINTS} endpoints. Those from here on are not used."
            )
            break
        else:
            endpoints[endpoint.name] = endpoint
    return EndpointLines(tuple(endpoints.values()), tuple(problems))


def _endpoint(words: list[str], where: str) -> EndpointEntry:
    location = SourceLocation(where)
    entries: dict[str, Node] = {"base_url": Scalar(location, words[0], words[0], words[0])}
    for word in words[1:]:
        key, has_value, value = word.partition("=")
        if not has_value:
            sentence = "What follows the base_url has the form NAME=VALUE, such as weight=2."
            raise RefusedError(Diagnostic(location, sentence))
        entries[key] = _scalar(location, value, is_number=key in {"weight", "concurrency"})
    return entry_of("", MappingNode(location, entries), names=("base_url", *_KEYS))


def _scalar(location: SourceLocation, text: str, *, is_number: bool) -> Scalar:
    """The value `text` as YAML would have it; one that is to be a number and is none stays a text."""
    value: int | float | str = text
    if is_number:
        with suppress(ValueError):
            value = float(text)
        with suppress(ValueError):
            value = int(text)
    return Scalar(location, value, text, text)


class EndpointsFile:
    """A file of endpoints that is looked at from time to time."""

    def __init__(self, path: Path, as_given: str, lines: EndpointLines) -> None:
        self._path = path
        self._as_given = as_given
        self._lines = lines
        self._why_not = ""

    def changed(self) -> EndpointLines | None:
        """What the file says now, None where that is what it said before.

        Where it can't be read or is empty it says what it said before, and the first time that, too, as a problem.
        """
        try:
            lines = read_endpoints_file(self._path, self._as_given)
            why_not = "" if lines.endpoints else "has no endpoint"
        except (OSError, UnicodeDecodeError) as exc:
            why_not = f"can't be read ({exc.strerror if isinstance(exc, OSError) else 'it is not UTF-8'})"
            lines = EndpointLines((), ())
        if why_not:
            sentence = f"{self._as_given} {why_not}. The endpoints that it had before are used."
            problems = (sentence, *lines.problems)
            is_new, self._why_not = why_not != self._why_not, why_not
            return self._lines._replace(problems=problems) if is_new else None
        is_new = bool(self._why_not) or lines != self._lines
        problems = tuple(problem for problem in lines.problems if problem not in self._lines.problems)
        self._lines, self._why_not = lines, ""
        return lines._replace(problems=problems) if is_new else None
