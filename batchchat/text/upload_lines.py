"""The lines of events about an output in an object store. Pure."""

from __future__ import annotations

from batchchat.core.notices import JournalShipped, ShippingFailed, Uploaded, Uploading
from batchchat.text import numbers

__all__ = ["shipped_line", "shipping_failed_line", "uploaded_line", "uploading_line"]


def shipped_line(event: JournalShipped) -> str:
    """Where the journal is copied to, and what came from there."""
    fetched = f"\njournal {numbers.size(event.fetched)} fetched that this machine did not have" if event.fetched else ""
    return f"journal copied to {event.url} each {event.every_s:g} s{fetched}"


def shipping_failed_line(event: ShippingFailed) -> str:
    """Why the copy is behind."""
    return f"journal not copied: {event.why} The run goes on; every row is in the journal on this machine"


def uploading_line(event: Uploading) -> str:
    """What is uploaded, and where to."""
    return f"upload {numbers.quantity(event.files, 'file')}, {numbers.size(event.size)} -> {event.url}"


def uploaded_line(event: Uploaded) -> str:
    """What is the result, and how long that took."""
    state = f"done in {numbers.duration(event.elapsed_s)}" if event.is_new else "not needed: it is there"
    leftovers = numbers.quantity(event.leftovers, "earlier object")
    note = f"\nnote   {leftovers} can't be deleted with these credentials" if event.leftovers else ""
    return f"upload {state} · {event.pattern}{note}"
