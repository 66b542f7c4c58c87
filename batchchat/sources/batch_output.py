"""A provider's batch output file: a line for each response, with the `custom_id` of the row that it answers.

As OpenAI, Azure, Groq, Mistral and vLLM's `run-batch` write it: `{"custom_id", "response": {"status_code", "body"},
"error"}`. The lines stand in the order in which they were answered, so they are looked up by key. Memory holds an index
of about 40 bytes a line; the lines, decompressed, are in an unnamed temporary file.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from batchchat.core.bad import Bad
from batchchat.core.conversation import Key
from batchchat.core.import_counts import ImportCounts
from batchchat.core.key_spelling import key_of_spelling, spelled_key
from batchchat.errors import InputError
from batchchat.hash_table import HashTable, process_hash
from batchchat.lossless_json import loads_lenient
from batchchat.sources.decompressed_file import TOO_LONG, BrokenOffError, OverlongLine, open_decompressed, read_lines
from batchchat.sources.file_types import MAX_MAGIC_BYTES, FileKind, packing_of_head
from batchchat.sources.files import InputFile, read_error
from batchchat.sources.json_value import bad_json, describe, parse_object, short_json
from batchchat.sources.row_ids import parse_id

__all__ = ["BatchOutput", "BatchResponse", "open_batch_output"]

_FIRST = 3
_OK, _MAX_STATUS = 100, 599
_TAKES = 'It takes a line of a batch\'s output: {"custom_id": ..., "response": {"status_code": 200, "body": {...}}}.'


class BatchResponse(NamedTuple):
    """What a line says of its request: the `status` and the `body` of its response, or None and the `error` instead."""

    status: int | None
    body: Any
    error: Any


class BatchOutput:
    """The responses in a file, numbered from 0 by the key of the row that each answers.

    `counts` has what is known of the lines so far. `redact` takes secrets out of what is read.
    """

    def __init__(self, label: str, lines: IO[bytes], redact: Callable[[bytes], bytes]) -> None:
        self.counts = ImportCounts(label)
        self._label = label
        self._lines = lines
        self._redact = redact
        self._table = HashTable()
        self._offsets = array("Q")
        self._numbers = array("Q")
        self._matched = bytearray()
        self._end = 0

    def __len__(self) -> int:
        return len(self._table)

    def add(self, number: int, line: bytes | Bad) -> None:
        """Index `line`, which is at `number` in the file. Raises `InputError` for a batch's input file."""
        counts = self.counts
        counts.lines += 1
        response = line if isinstance(line, Bad) else self._read(line)
        if isinstance(response, Bad):
            counts.malformed += 1
            counts.first_malformed = _with(counts.first_malformed, f"{self._label}:{number}: {response.sentence}")
            return
        assert not isinstance(line, Bad)
        custom_id, _ = response
        entry, is_new = self._table.add(process_hash(key_of_spelling(custom_id)))
        if not is_new:
            counts.repeated += 1
            first = f"{self._label}:{number}: {short_json(custom_id)}, first at line {self._numbers[entry]:,}"
            counts.first_repeated = _with(counts.first_repeated, first)
            return
        self._lines.write(line + b"\n")
        self._offsets.append(self._end)
        self._numbers.append(number)
        self._matched.append(0)
        self._end += len(line) + 1

    def _read(self, line: bytes) -> tuple[str, BatchResponse] | Bad:
        fields = _object(self._redact(line))
        if isinstance(fields, Bad):
            return fields
        if "response" not in fields and "error" not in fields:
            if type(fields.get("body")) is dict:
                raise InputError(
                    f"{self._label} is a batch's input file: its lines have a `body` and no `response`. Name the output"
                    " file that the provider made of it."
                )
            return Bad(f"neither `response` nor `error`. {_TAKES}")
        if "custom_id" not in fields:
            return Bad(f"`custom_id` is missing. {_TAKES}")
        custom_id = parse_id(fields["custom_id"], "custom_id")
        if isinstance(custom_id, Bad):
            return custom_id
        response = _response_of(fields)
        return response if isinstance(response, Bad) else (custom_id, response)

    def match(self, key: Key) -> int | None:
        """The number of the response for the row of `key`, which the job has; None where there is none."""
        number = self._table.find(process_hash(key))
        if number is not None:
            self._matched[number] = 1
        return number

    def response(self, number: int) -> BatchResponse:
        """The response of that number."""
        _, response = self._at(number)
        return response

    def responses(self) -> Iterator[BatchResponse]:
        """Every response."""
        return (self.response(number) for number in range(len(self)))

    def count_unfinished(self, key: Key) -> None:
        """Count the response for the row of `key`, which takes more than one."""
        counts = self.counts
        counts.unfinished += 1
        counts.first_unfinished = _with(counts.first_unfinished, short_json(spelled_key(key)))

    def count_lines(self, rows_left: int | None) -> None:
        """Complete the counts once the whole input was read and matched; `rows_left` of it have no record."""
        counts, matched = self.counts, sum(self._matched)
        counts.kept = matched - counts.answered - counts.failed - counts.unfinished
        counts.missing = None if rows_left is None else rows_left - counts.unfinished
        counts.unknown, counts.first_unknown = len(self) - matched, ()
        at = -1
        while len(counts.first_unknown) < min(counts.unknown, _FIRST):
            at = self._matched.index(0, at + 1)
            custom_id, _ = self._at(at)
            first = f"{self._label}:{self._numbers[at]}: {short_json(custom_id)}"
            counts.first_unknown = _with(counts.first_unknown, first)

    def _at(self, number: int) -> tuple[str, BatchResponse]:
        self._lines.seek(self._offsets[number])
        response = self._read(self._lines.readline().removesuffix(b"\n"))
        assert not isinstance(response, Bad), "it was read before it was indexed"
        return response


@contextmanager
def open_batch_output(path: Path, redact: Callable[[bytes], bytes]) -> Iterator[BatchOutput]:
    """The responses in the file at `path`, plain, gzip or zstd whatever its name.

    Raises `InputError` for a file that can't be read, has no response, or is a batch's input.
    """
    as_given = str(path)
    try:
        with path.open("rb") as stream:
            packing = packing_of_head(stream.read(MAX_MAGIC_BYTES))
    except OSError as error:
        raise read_error(as_given, error) from error
    file = InputFile(path, as_given, path.name, FileKind.JSONL, packing, 0)
    with tempfile.TemporaryFile(prefix="batchchat-") as lines:
        output = BatchOutput(path.name, lines, redact)
        for number, line in _lines_of(file):
            output.add(number, line)
        if not len(output):
            first = next(iter(output.counts.first_malformed), f"{as_given} has no lines.")
            raise InputError(f"no response can be read: {first}")
        yield output


def _lines_of(file: InputFile) -> Iterator[tuple[int, bytes | Bad]]:
    number = 0
    with open_decompressed(file) as content:
        try:
            for number, line in enumerate(read_lines(content, lambda _: None), 1):
                if isinstance(line, OverlongLine):
                    yield number, Bad(f"the line {TOO_LONG}")
                elif line and not line.isspace():
                    yield number, line
        except BrokenOffError as error:
            yield number + 1, Bad(f"the file breaks off here: {error}")


def _object(line: bytes) -> dict[str, Any] | Bad:
    """The object in `line`, read as leniently as a response is: it was paid for."""
    try:
        value = loads_lenient(line)
        return value if type(value) is dict else parse_object(line)
    except ValueError:
        try:
            return parse_object(line)
        except ValueError as error:
            return bad_json("the line", error)


def _response_of(fields: dict[str, Any]) -> BatchResponse | Bad:
    response = fields.get("response")
    if response is None:
        if fields.get("error") is None:
            return Bad(f"`response` and `error` are both null. {_TAKES}")
        return BatchResponse(None, None, fields["error"])
    if type(response) is not dict:
        return Bad(f"`response` is {describe(response)}. It takes an object with status_code and body.")
    if "body" not in response and ("choices" in response or "error" in response):
        return BatchResponse(200, response, None)  # Fireworks puts the body itself there
    status = response.get("status_code", 200)
    if type(status) is not int or not _OK <= status <= _MAX_STATUS:
        return Bad(f"`response.status_code` is {describe(status)}. It takes an HTTP status.")
    if response.get("body") is None:
        return Bad("`response.body` is missing. It takes the response's JSON.")
    return BatchResponse(status, response["body"], None)


def _with(first: tuple[str, ...], sentence: str) -> tuple[str, ...]:
    return first if len(first) == _FIRST else (*first, sentence)
