r"""The `.env` beside a job file: variables that the environment lacks, so that a job in a crontab finds its key.

The form is what docker, systemd and python-dotenv agree on: a line is `NAME=value`, with `export` before it or not; a
value may be in quotes, over several lines too; `#` begins a comment. Nothing within a value is replaced, but for
`\n`, `\"`, `\$` and `\\` in double quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batchchat.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ENV_FILE", "with_env_file"]

ENV_FILE = ".env"
MAX_BYTES = 1 << 20
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_LINE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*
    (?: = [ \t]* (?:
        (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" ) [ \t]* (?:[ \t]\#[^\n]*)?
        | (?P<plain>(?!["'])[^\n]*)
    ))? (?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "$": "$", "\\": "\\"}


def with_env_file(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`environ`, and what it has empty or not at all from the `.env` in `folder`, if there is one.

    Raises `JobError` if the file can't be read. No message repeats what is in it.
    """
    variables = _variables(folder / ENV_FILE)
    return {**variables, **{name: value for name, value in environ.items() if value or name not in variables}}


def _variables(path: Path) -> dict[str, str]:
    try:
        if not path.is_file():  # a folder of that name is somebody's virtual environment
            return {}
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise JobError([f"{path}: can't be read: {error.strerror}. Its owner can allow it, or remove it."]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JobError([f"{path}:{line}: this is not UTF-8. Save the file as UTF-8."]) from None
    if len(data) > MAX_BYTES:
        raise JobError([f"{path}: is over 1 MiB, which is no file of variables."])
    return _parsed(text.replace("\r\n", "\n"), path)


def _parsed(text: str, path: Path) -> dict[str, str]:
    variables: dict[str, str] = {}
    at = 0
    while at < len(text):
        if (blank := _NOTHING.match(text, at)) is not None:
            at = blank.end()
            continue
        match = _LINE.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise JobError(
                [f"{path}:{line}: this is not `NAME=value` (it is not shown, in case it is a key). Fix the line."]
            )
        at = match.end()
        if (value := _value(match)) is not None:
            variables[match["name"]] = value
    return variables


def _value(match: re.Match[str]) -> str | None:
    """The value on a line; None for a name alone, which sets nothing."""
    if match["single"] is not None:
        return match["single"]
    if match["double"] is not None:
        return _ESCAPED.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), match["double"])
    return None if match["plain"] is None else _COMMENT.sub("", match["plain"]).strip()
