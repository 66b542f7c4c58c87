"""The `.env` file beside a job: variables that the environment lacks.

python-dotenv reads it, since people write these files with its quotes, comments and `export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchchat.errors import JobError, refuse_pipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["with_env_file"]

NAME = ".env"


def with_env_file(environ: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """`environ`, and what it lacks or has empty from the `.env` in `folder`, where there is one.

    Raises `JobError` if the file can't be read.
    """
    path = folder / NAME
    if not path.is_file():
        return environ
    from dotenv import dotenv_values

    try:
        refuse_pipe(path)
        # Not interpolated: a key may have a `$` in it.
        values = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = "not UTF-8" if isinstance(exc, UnicodeDecodeError) else exc.strerror
        raise JobError([f"{path}: can't be read: {reason}. Correct that, or remove the file."]) from None
    filled = {name: value for name, value in values.items() if value and not environ.get(name)}
    return {**environ, **filled}
