"""The examples of the pages, as files, programs and typed commands; `make reference` puts in what they print now."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.acceptance.job import PATIENCE_S

__all__ = ["examples_of", "files_of", "same", "sessions_of", "typed", "with_sessions"]

_FILE = re.compile(r"^`([\w./-]+)` (?:[^\n]|\n(?!\n))*\n\n```\w+\n(.*?)```", re.MULTILINE | re.DOTALL)
_SESSION = re.compile(r"^(```console\n\$ ([^\n]+)\n)(.*?)(```)$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)```$", re.MULTILINE | re.DOTALL)
_GENERATED = re.compile(r"^<!-- ([a-z-]+) -->\n.*?^<!-- /\1 -->$", re.MULTILINE | re.DOTALL)
# What differs from run to run: durations, and the sizes of files that hold them.
_MEASURED = re.compile(r"\b\d+(\.\d+)? ?(s|kB)\b")


def files_of(text: str) -> dict[str, str]:
    """The files that a page shows: a paragraph that begins with the name, then the block."""
    return dict(_FILE.findall(text))


def sessions_of(text: str) -> list[tuple[str, str]]:
    """The command of each `console` block, and what it prints on stdout."""
    return [(match[2], match[3]) for match in _SESSION.finditer(text)]


def examples_of(text: str) -> list[str]:
    """The `python` blocks of a page that are no files and no signatures, outside of its generated places."""
    written = _GENERATED.sub("", text)
    return [block for block in _PYTHON.findall(written) if block not in files_of(text).values()]


def typed(folder: Path, command: str) -> str:
    """What `command` prints on stdout, typed in `folder`, which has the user's cache, too."""
    words = shlex.split(command)
    words[:1] = [sys.executable] if words[0] == "python" else [sys.executable, "-m", words[0]]
    environ = {**os.environ, "XDG_CACHE_HOME": str(folder / ".cache")}
    ended = subprocess.run(
        words, cwd=folder, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.rstrip() + "\n"


def same(left: str, right: str) -> bool:
    """Whether two outputs differ in nothing but durations and sizes."""
    return _MEASURED.sub("#", left) == _MEASURED.sub("#", right)


def with_sessions(text: str) -> str:
    """The page's `text` with what its commands print now, where that has changed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files_of(text).items():
            (folder / file).write_text(content)

        def session(match: re.Match[str]) -> str:
            printed = typed(folder, match[2])
            return match[0] if same(printed, match[3]) else f"{match[1]}{printed}{match[4]}"

        return _SESSION.sub(session, text)
