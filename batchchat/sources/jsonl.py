"""JSON lines as numbered records, one for each line that isn't blank, good or bad.

Memory holds one block and the longest line; one of more than 64 MiB is a bad record, and is not held. A UTF-8 byte
order mark at the start and CRLF line ends are accepted. If a compressed file is truncated or damaged, the line in which
it breaks off is one bad record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.sources.decompressed_file import (
    TOO_LONG,
    BrokenOffError,
    OverlongLine,
    open_decompressed,
    read_lines,
)
from batchchat.sources.json_value import bad_json, parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from batchchat.sources.files import InputFile, Record

__all__ = ["number_lines", "read_jsonl"]


def read_jsonl(file: InputFile, on_progress: Callable[[int], None]) -> Iterator[Record]:
    """The records of `file`; `on_progress` is called with the number of its bytes read so far.

    Raises `InputError` if the file is gone.
    """
    return _records(file, on_progress, parse_object)


def number_lines(file: InputFile, on_progress: Callable[[int], None]) -> Iterator[Record]:
    """As many records as `read_jsonl` gives, to be counted: none is parsed, and none has columns."""
    return _records(file, on_progress, lambda _: {})


def _records(
    file: InputFile, on_progress: Callable[[int], None], parse: Callable[[bytes], dict[str, Any]]
) -> Iterator[Record]:
    """The records that `parse` makes of the lines of `file`.

    Raises `InputError` if the file is gone.
    """
    number = 0
    with open_decompressed(file) as content:
        try:
            for number, line in enumerate(read_lines(content, on_progress), 1):
                if line and not line.isspace():
                    record: dict[str, Any] | Bad
                    try:
                        record = parse(line)
                    except ValueError as error:
                        record = bad_json("the line", error)
                    yield number, record
                elif isinstance(line, OverlongLine):
                    yield number, Bad(f"the line {TOO_LONG}")
        except BrokenOffError as error:
            yield number + 1, Bad(f"the file breaks off here: {error}")
