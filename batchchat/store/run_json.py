"""`run.json`: the state of a run for other processes, replaced whole each second. Shown to users, never relied on."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchchat import lossless_json
from batchchat.store.atomic import building_name

__all__ = ["NAME", "read_state", "write_state"]

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
