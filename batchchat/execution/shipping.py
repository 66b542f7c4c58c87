"""Ships the journal of a run to an object store while the run goes on, and fetches it where this machine has less.

It is a thread of its own, which reads what was synced and never holds up the run. Its failures are told and tried
again: the journal on this machine is the truth.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.core.notices import JournalShipped, ShippingFailed
from batchchat.errors import MachineError, OutputError
from batchchat.object_store.failures import ObjectStoreError

if TYPE_CHECKING:
    from batchchat.execution.context import RunContext
    from batchchat.store.journal_owner import JournalOwner
    from batchchat.store.shipped_journal import ShippedJournal

__all__ = ["EVERY_S", "shipping"]

EVERY_S = 5.0
_FLUSH_S = 60.0


@contextmanager
def shipping(context: RunContext, folder: Path, target: str) -> Iterator[Callable[[], None]]:
    """Claim the copy at `target` of the journal in `folder` for this process, and bring the journal up to it.

    Unless the run begins anew. What is yielded, once called, ships it until the block ends, and the rest of it then.
    The lock of the run is held. Raises `OutputError` where the store can't be used, or another machine goes on with the
    run.
    """
    from batchchat.object_store.bucket import ObjectBucket
    from batchchat.object_store.threads import interruptible
    from batchchat.object_store.url import parse_url
    from batchchat.store.journal_owner import JournalOwner
    from batchchat.store.shipped_journal import ShippedJournal

    url = parse_url(target)
    bucket = ObjectBucket(url, context.job_environ)
    journal = ShippedJournal(url, folder, bucket)
    owner = JournalOwner(journal.owner_key, journal.shown, folder, bucket)
    shipper = _Shipper(context, journal, owner)
    try:
        interruptible(shipper.claim)
        interruptible(shipper.fetch)
    except ObjectStoreError as error:
        raise OutputError(str(error)) from None
    try:
        yield shipper.start
    finally:
        shipper.end()


class _Shipper:
    """The thread. What it tells goes to the subscribers in the thread of the event loop."""

    def __init__(self, context: RunContext, journal: ShippedJournal, owner: JournalOwner) -> None:
        self._context = context
        self._journal = journal
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="ship-journal", daemon=True)

    def claim(self) -> None:
        """Claim the copy for this process."""
        self._owner.claim(takes_over=self._context.options.yes)

    def fetch(self) -> None:
        """Bring the journal on this machine up to the copy, where the run goes on."""
        if not self._context.options.fresh:
            self._context.takeover.fetched = self._journal.fetch()

    def start(self) -> None:
        """Begin to ship; a run that begins anew has set its old journal aside by now."""
        try:
            self._journal.begin(anew=self._context.options.fresh)
        except ObjectStoreError as error:
            raise OutputError(str(error)) from None
        self._context.tell(JournalShipped(self._journal.shown, EVERY_S, self._context.takeover.fetched))
        if self._context.remote is not None:
            self._context.remote.noted = self.ship_note
        self._thread.start()

    def end(self) -> None:
        """Ship what is left, for up to a minute, and give the copy back."""
        self._stopping.set()
        if not self._thread.ident:
            self._attempt(self._owner.release)
            return
        deadline = time.monotonic() + _FLUSH_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(0.1)
        if self._thread.is_alive():
            self._tell("it took longer than a minute", directly=True)

    def ship_note(self) -> None:
        """Ship the note about the output at once: what it says is about to be done."""
        self._attempt(self._journal.ship_note)

    def _run(self) -> None:
        while True:
            is_last = self._stopping.is_set()
            succeeded = self._attempt(self._journal.ship)
            if is_last:
                if succeeded:
                    self._attempt(self._owner.release)
                return
            self._stopping.wait(EVERY_S)

    def _attempt(self, step: Callable[[], object]) -> bool:
        """Whether `step` succeeded; a failure is told once, until one succeeds again."""
        reason = ""
        try:
            if not self._is_owner():
                return False
            step()
        except (ObjectStoreError, OSError) as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 (a defect here must not end the run, nor go unnoticed)
            reason = f"{type(error).__name__}, which is a defect of batchchat."
        if reason and not self._has_failed:
            self._tell(reason)
        self._has_failed = bool(reason)
        return not reason

    def _is_owner(self) -> bool:
        """Whether the copy is still this process's; where another one goes on with it, the run ends here."""
        takeover = self._context.takeover
        if takeover.error is None and not self._owner.is_own and (self._journal.has_others or not self._owner.renew()):
            takeover.error = MachineError(self._owner.taken_over())
        return takeover.error is None

    def _tell(self, reason: str, *, directly: bool = False) -> None:
        event = ShippingFailed(self._journal.shown, reason)
        if directly:
            self._context.tell(event)
            return
        with suppress(RuntimeError):  # the loop is closed: the run has ended
            self._loop.call_soon_threadsafe(self._context.tell, event)
