"""Memory does not grow with the input: peak RSS of `batchchat run`, as the kernel counts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.acceptance.job import Job

# The cheapest server there is: one canned reply of 2 KB for each request that comes, in its own process.
SERVER = """
import asyncio, json
text = "word " * 400
body = json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
    "finish_reason": "stop"}], "usage": {"prompt_tokens": 10, "completion_tokens": 500, "total_tokens": 510,
    "estimated_cost": 0.0004}}).encode()
reply = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (len(body), body)

class Canned(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.seen = transport, b""
    def data_received(self, data):
        self.seen += data
        while (end := self.seen.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.seen[:end].lower()
            at = head.find(b"content-length:") + 15
            length = int(head[at:].split(b"\\r\\n", 1)[0])
            if len(self.seen) < end + 4 + length:
                return
            self.seen = self.seen[end + 4 + length:]
            self.transport.write(reply)

async def main():
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""

# A small process between, since a child's peak begins at that of the process it was forked from.
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


@pytest.fixture
def canned() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def peak_mb(job: Job, url: str, count: int) -> float:
    """Peak RSS of a run of `count` rows of 0.7 KB; the rows are written by a generator, one by one."""
    with job.input.open("w") as file:
        for n in range(count):
            file.write(f'{{"id": "r{n}", "messages": [{{"role": "user", "content": "{n} {"question " * 70}"}}]}}\n')
    name = f"out-{count}.parquet"
    job.write(endpoint__base_url=url, concurrency=64, output__path=name)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *job.command("run", "job.yaml", "--progress", "none")],
        cwd=job.folder,
        env=job.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(measured.stdout) / 1024


def test_ten_times_the_rows(job: Job, canned: str) -> None:
    """10,000 rows take at most 1.3 times the memory of 1,000."""
    few, many = peak_mb(job, canned, 1_000), peak_mb(job, canned, 10_000)
    assert many / few <= 1.3, f"{few:.0f} MB at 1,000 rows, {many:.0f} MB at 10,000"


@pytest.mark.soak
def test_a_hundred_times_the_rows(job: Job, canned: str) -> None:
    """100,000 rows take at most 1.3 times the memory of 1,000."""
    few, many = peak_mb(job, canned, 1_000), peak_mb(job, canned, 100_000)
    print(f"\nRSS: {few:.0f} MB at 1,000 rows, {many:.0f} MB at 100,000: {many / few:.2f}")
    assert many / few <= 1.3, f"{few:.0f} MB at 1,000 rows, {many:.0f} MB at 100,000"
