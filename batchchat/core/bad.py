"""An error as a value: what is wrong, in a sentence for the user."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Bad"]


class Bad(NamedTuple):
    """What is wrong with a value that could not be used. `sentence` says it, and the way out where there is one."""

    sentence: str
