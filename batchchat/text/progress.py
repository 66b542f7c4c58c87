"""Events as a person follows them: a tqdm bar on a terminal, log lines elsewhere, and the lines of `run.log`.

One line changes in place; all others scroll. Nothing here holds a prompt, a reply or a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from shutil import get_terminal_size
from typing import IO, Any

from batchchat.core import events
from batchchat.core.events import Event, Progress
from batchchat.text import numbers
from batchchat.text.escape import escaped
from batchchat.text.event_lines import event_line
from batchchat.text.progress_line import failure_kinds, figures, finished_line, progress_line, rows_of_total
from batchchat.text.times import iso_utc

__all__ = ["Bar", "Lines", "Silent", "log_file"]

_LINE_EVERY_S = 60.0
_WIDE = 120  # columns


class Silent:
    """A subscriber that prints nothing."""

    def __call__(self, event: Event) -> None:
        """Print `event` where it has a line."""


def _unwatched(base: Any) -> Any:
    """A bar that is refreshed by us alone, so that no thread need watch it; tqdm's own setting is left alone."""
    return type("Bar", (base,), {"monitor_interval": 0})


class Bar:
    """One line that changes in place on a terminal; other events scroll above it. `base` is another class of tqdm's."""

    def __init__(self, stream: IO[str], base: Any = None) -> None:
        from tqdm import tqdm  # lines and the log need none

        self._stream = stream
        self._tqdm = _unwatched(base or tqdm)
        self._write = tqdm.write
        self._bar: Any = None

    def __call__(self, event: Event) -> None:
        """Print `event` where it has a line."""
        if isinstance(event, Progress):
            self._show(event)
        elif isinstance(event, events.Publishing | events.Finished | events.Refused):
            self._close()
        elif isinstance(_at_endpoint(event), events.CeilingRaised):
            return
        elif text := event_line(event):
            self._write(escaped(text), file=self._stream)

    def _show(self, event: Progress) -> None:
        if self._bar is None:
            self._bar = self._tqdm(
                file=self._stream, dynamic_ncols=True, mininterval=0, leave=True, bar_format="{l_bar}"
            )
        bar = self._bar
        bar.n, bar.total = event.done, event.total
        pace = f"{event.rows_per_s:.1f} rows/s"
        details = figures(event, brief=get_terminal_size().columns < _WIDE)
        times = f"{numbers.clock(event.elapsed_s)}<{numbers.clock(event.eta_s)}"
        text = escaped(f"{rows_of_total(event)} [{times}, {pace}]  {details}")
        meter = "{percentage:3.0f}%|{bar}| " if event.total else ""
        bar.bar_format = meter + text.replace("{", "{{").replace("}", "}}")
        bar.refresh()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Lines:
    """A line at each change of state, and one a minute, each after a `stamp`.

    Without `quotes` it writes `run.log`: texts of the endpoint, which may echo a prompt, are left out; times are UTC.
    """

    def __init__(
        self, write: Callable[[str], None], stamp: Callable[[], str] = lambda: "", *, quotes: bool = True
    ) -> None:
        self._write = write
        self._stamp = stamp
        self._quotes = quotes
        self._next_s = _LINE_EVERY_S
        self._last: Progress | None = None

    def __call__(self, event: Event) -> None:
        """Print `event` where it has a line."""
        if isinstance(event, Progress):
            self._last = event
            if event.elapsed_s >= self._next_s:
                self._next_s = event.elapsed_s + _LINE_EVERY_S
                self._write(self._stamp() + progress_line(event) + self._trouble(event))
            return
        if isinstance(event, events.Publishing | events.Finished) and self._last is not None:
            self._write(self._stamp() + progress_line(self._last) + self._trouble(self._last))
            self._last = None
        for line in escaped(self._text(event) or "").splitlines():
            self._write(self._stamp() + line)

    def _trouble(self, event: Progress) -> str:
        return "" if self._quotes else failure_kinds(event)

    def _text(self, event: Event) -> str | None:
        if isinstance(event, events.Finished | events.Refused):
            if self._quotes:
                return None  # the summary or the error is printed instead
            end = f"{finished_line(event)}\n" if isinstance(event, events.Finished) else ""
            return f"{end}exit {event.exit_code}{f': {event.reason}' if event.reason else ''}"
        if isinstance(event, events.FirstFailure) and not self._quotes:
            return f"first {event.kind}: row {event.id}"
        at_endpoint = _at_endpoint(event)
        if isinstance(at_endpoint, events.CeilingRaised) and self._quotes:
            return None  # of interest afterwards; the line shows it meanwhile
        if isinstance(event, events.OfEndpoint) and isinstance(at_endpoint, events.EndpointRetired):
            why = at_endpoint.why if self._quotes else f"{at_endpoint.reason};"
            event = event._replace(event=at_endpoint._replace(why=why))
        return event_line(event, utc=not self._quotes)


def _at_endpoint(event: Event) -> Event:
    """What happened, whichever endpoint it was at."""
    if isinstance(event, events.OfEndpoint):
        inner: Event = event.event
        return inner
    return event


def log_file(stream: IO[str]) -> Lines:
    """`run.log`: the same lines, each with the date and time in UTC, without any text of a prompt or a reply."""

    def write(line: str) -> None:
        stream.write(line + "\n")
        stream.flush()

    return Lines(write, lambda: f"{iso_utc(time.time(), 'seconds')} ", quotes=False)
