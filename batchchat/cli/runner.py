"""A run started from a command: its progress display on stderr, and its event loop."""

from __future__ import annotations

import sys

from batchchat.core.events import Subscriber
from batchchat.execution.event_loop import event_loop

__all__ = ["at_a_terminal", "event_loop", "follower_of"]


def at_a_terminal() -> bool:
    """True if a question can be asked: stdin and stderr are terminals."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def follower_of(progress: str) -> Subscriber:
    """The progress display on stderr that `progress` names."""
    from batchchat.text.display import display_for

    return display_for(progress, sys.stderr)
