"""Imports what the end of a run needs while the first answers are awaited, so that neither start nor end waits for it.

Nor does the end of a long run then depend on whether the installation is still the one it began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

__all__ = ["end_imported_early"]

_AFTER_S = 1.0
_MODULES = ("batchchat.execution.publish", "batchchat.execution.on_finish")


@contextmanager
def end_imported_early() -> Iterator[None]:
    """While rows are sent by the process that publishes; inside the running event loop. It is done in a thread."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(_AFTER_S, lambda: loop.run_in_executor(None, _import_modules))
    try:
        yield
    finally:
        timer.cancel()


def _import_modules() -> None:
    for module in _MODULES:
        import_module(module)
