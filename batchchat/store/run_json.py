"""`run.json`: the state of a run for other processes, replaced whole each second. Shown to users, never relied on.

The file has no absolute path, so that a run can be moved and copied with its job: its paths, those in the command
included, are relative to the folder that holds the output. Versions up to 0.1 wrote absolute ones.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from batchchat import lossless_json
from batchchat.store.atomic import building_name

__all__ = ["NAME", "located_state", "portable_state", "read_state", "write_state"]

NAME = "run.json"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state in `folder`. It is not synced: after a crash of the machine the journal is the truth."""
    building, data = folder / building_name(Path(NAME)), lossless_json.dumps(dict(state)) + b"\n"
    try:
        building.write_bytes(data)
        building.replace(folder / NAME)
    except OSError as error:
        building.unlink(missing_ok=True)
        if error.errno not in _FULL:
            raise
        _write_in_place(folder / NAME, data)


def _write_in_place(path: Path, data: bytes) -> None:
    """On a full disk the new state goes where the one before it is: it takes no more blocks than that has."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def read_state(folder: Path) -> dict[str, Any] | None:
    """The last state written to `folder`, or None where none can be read."""
    try:
        state = lossless_json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def portable_state(state: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """`state`, whose paths are absolute and whose command was typed in its `working_directory`, without such paths."""
    base = os.path.abspath(output.parent)  # noqa: PTH100 (links are kept)

    def relative(path: str) -> str:
        return os.path.relpath(os.path.join(state["working_directory"], path), base)  # noqa: PTH118

    return {
        **state,
        **{name: relative(state[name]) for name in ("job", "output", "working_directory") if state[name] is not None},
        "next_command": _with_paths(state["next_command"], relative),
    }


def located_state(state: Mapping[str, Any], output: Path, shown: Callable[[Path], str]) -> dict[str, Any]:
    """`state` as it was read, with the paths where the run of `output` is now, as `shown` writes them.

    Of an older version's absolute paths, those are meant that lie in the same way to the output.
    """
    base = output.parent
    before = state.get("output")
    # Where the command's paths begin: its working directory, or, in a state that has no absolute path, the output's.
    typed_in = state.get("working_directory")
    was_absolute = isinstance(before, str) and Path(before).is_absolute()

    def here(path: str) -> Path:
        if was_absolute and Path(path).is_absolute():
            path = os.path.relpath(path, os.path.dirname(str(before)))  # noqa: PTH120
        return Path(os.path.normpath(base / path))

    def of_command(path: str) -> str:
        if was_absolute and isinstance(typed_in, str):
            path = os.path.join(typed_in, path)  # noqa: PTH118
        return shown(here(path))

    located = dict(state)
    if isinstance(state.get("job"), str):
        located["job"] = shown(here(state["job"]))
    located["output"] = url if isinstance(url := state.get("url"), str) else shown(output)
    located["next_command"] = _with_paths(state.get("next_command"), of_command)
    return located


def _with_paths(command: Any, change: Callable[[str], str]) -> Any:
    """`batchchat run JOB --output PATH ...` with its two paths changed; what is no such command stays as it is."""
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return command
    if words[:2] != ["batchchat", "run"]:
        return command
    for at, word in enumerate(words[2:], 2):
        name, equals, value = word.partition("=")
        if "://" in (value or word):
            continue
        if at == 2 and not word.startswith("-"):  # noqa: PLR2004 (the job)
            words[at] = change(word)
        elif name == "--output" and equals:
            words[at] = f"{name}={change(value)}"
        elif words[at - 1] == "--output":
            words[at] = change(word)
    return shlex.join(words)
