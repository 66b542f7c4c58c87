"""Waits that end early."""

from __future__ import annotations

import asyncio

__all__ = ["pause"]


async def pause(seconds: float, event: asyncio.Event) -> bool:
    """Wait for `seconds`, or until `event` is set; whether it is."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
