"""The progress display that a run's caller chooses: a bar, lines, or nothing."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Any

from batchchat.core.events import Event, OnFinishFailed, Subscriber
from batchchat.text.escape import escaped
from batchchat.text.event_lines import event_line
from batchchat.text.progress import Bar, Lines, Silent

__all__ = ["PROGRESS", "display_for", "in_notebook", "write_line"]

PROGRESS = ("auto", "bar", "log", "none")


def display_for(progress: str, stream: IO[str]) -> Subscriber:
    """The display of the name `progress` on `stream`. A failed `on_finish` is reported even with `none`."""
    notebook = in_notebook()
    if progress == "auto":
        progress = "bar" if notebook or (stream.isatty() and os.environ.get("TERM") != "dumb") else "log"

    def write(line: str) -> None:
        write_line(stream, line)

    display: Subscriber = Silent()
    if progress != "none":
        display = Bar(stream, _tqdm_of_notebook() if notebook else None) if progress == "bar" else Lines(write)

    def follow(event: Event) -> None:
        if isinstance(event, OnFinishFailed):
            write(f"{event_line(event)}. The run's own exit code stays {event.exit_code}.")
        else:
            display(event)

    return follow


def write_line(stream: IO[str], text: str) -> None:
    """Write `text`, with what a terminal would act upon escaped; what a closed stream can't take is lost."""
    with suppress(OSError, ValueError):
        stream.write(f"{escaped(text)}\n")
        stream.flush()


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this program."""
    return "ipykernel" in sys.modules and hasattr(_shell(), "kernel")


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _tqdm_of_notebook() -> Any:
    """Tqdm's bar made of widgets, None where they are not installed: the bar is then text."""
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return None
    from tqdm.auto import tqdm

    return tqdm
