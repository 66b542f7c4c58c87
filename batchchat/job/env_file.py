"""The `.env` beside a job: variables that the environment lacks, so that a job in a crontab finds its key.

python-dotenv reads it, since people write these files with its quotes, comments and `export`. Variables within a value
are not replaced: a key may have a `$` in it.
"""

from __future__ import annotations

import re
from io import StringIO
from typing import TYPE_CHECKING

from batchchat.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ENV_FILE", "with_env_file"]

ENV_FILE = ".env"
MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


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
    from dotenv.parser import parse_stream

    variables: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and not _NAME.fullmatch(binding.key)):
            original = binding.original
            line = original.line + len(original.string) - len(original.string.lstrip("\n"))
            raise JobError(
                [f"{path}:{line}: this is not `NAME=value` (it is not shown, in case it is a key). Fix the line."]
            )
        if binding.key is not None and binding.value is not None:
            variables[binding.key] = binding.value
    return variables
