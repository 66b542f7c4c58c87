"""A further process of this program: its command, its path, and what is said of its end."""

from __future__ import annotations

import os
import sys
from typing import IO

__all__ = ["WORKER", "end_words", "last_line", "module_command", "own_path"]

WORKER = "batchchat.cluster.worker"
"""The module that is a worker's program."""

_LAST_BYTES = 2000


def end_words(code: int, output: IO[bytes]) -> str:
    """How a process ended, by its exit `code`, negative for a signal, and the last line of its `output`."""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = last_line(output)
    return f"{how}: {last}" if last else how


def last_line(output: IO[bytes]) -> str:
    """The last line in `output` that is not blank; "" where there is none."""
    output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = output.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def module_command(module: str, *arguments: str) -> list[str]:
    """What runs `module` of this program. -P keeps the working folder out of its path, which is `own_path`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def own_path() -> dict[str, str]:
    """The environment variable that gives a process the path of this one, in its order."""
    return {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
