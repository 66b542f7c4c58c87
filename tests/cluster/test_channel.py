"""Values between two ends of a channel."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from batchchat.cluster.assignment import RowsWanted, Synced
from batchchat.cluster.channel import Channel
from tests.acceptance.job import PATIENCE_S


async def pair() -> tuple[Channel, Channel]:
    """Both ends."""
    ours, theirs = socket.socketpair()
    return await Channel.open(ours), await Channel.open(theirs)


def test_messages_come_whole_and_in_order() -> None:
    """However large one is; after the last there is None."""

    async def play() -> list[Any]:
        ours, theirs = await pair()
        for message in (Synced(7), {"body": "x" * 3_000_000}, RowsWanted(2, 1)):
            ours.send(message)
        closing = asyncio.create_task(ours.close())
        messages = [await theirs.receive() for _ in range(4)]
        await closing
        await theirs.close()
        return messages

    assert asyncio.run(play()) == [Synced(7), {"body": "x" * 3_000_000}, RowsWanted(2, 1), None]


def test_who_is_gone_is_told_nothing() -> None:
    """To send to an end that is closed is no error."""

    async def play() -> Any:
        ours, theirs = await pair()
        await theirs.close()
        message = await ours.receive()
        for _ in range(3):
            ours.send(Synced(1))
            await asyncio.sleep(0)
        await ours.close()
        return message

    assert asyncio.run(play()) is None


def test_who_is_cancelled_while_a_message_comes_loses_nothing() -> None:
    """Its length may have been read by then."""

    async def play() -> list[Any]:
        ours, theirs = await pair()
        ours.send({"body": "x" * 3_000_000})
        ours.send(Synced(7))
        while True:
            receiving = asyncio.create_task(theirs.receive())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if receiving.done():
                break
            receiving.cancel()
            await asyncio.wait([receiving])
        messages = [await receiving, await theirs.receive()]
        await ours.close()
        await theirs.close()
        return messages

    async def patiently() -> list[Any]:
        async with asyncio.timeout(PATIENCE_S):
            return await play()

    assert asyncio.run(patiently()) == [{"body": "x" * 3_000_000}, Synced(7)]
