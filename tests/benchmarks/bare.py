"""The bare loop: read, send, parse, append; no retry, no journal, no sync. What batchchat is measured against."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import IO

import aiohttp
import orjson
import uvloop


async def worker(rows: IO[bytes], session: aiohttp.ClientSession, url: str, out: IO[bytes]) -> None:
    """Send one row after the other."""
    for line in rows:
        row = orjson.loads(line)
        body = orjson.dumps({"model": "benchmark", "messages": row["messages"], "temperature": 0.7, "max_tokens": 512})
        async with session.post(url, data=body) as response:
            reply = orjson.loads(await response.read())
        text = reply["choices"][0]["message"]["content"]
        out.write(orjson.dumps({"id": row["id"], "response": text, "usage": reply["usage"]}) + b"\n")


async def main(url: str, source: str, target: str, in_flight: int) -> None:
    """Send all rows of `source` with `in_flight` workers."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=600, connect=10)
    headers = {"Content-Type": "application/json"}
    with Path(source).open("rb") as rows, Path(target).open("wb") as out:  # noqa: ASYNC230 (as plain as can be)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
            await asyncio.gather(*(worker(rows, session, url, out) for _ in range(in_flight)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
