"""The relay on a worker's node, with real processes and without Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from batchchat.cluster import ray_relay
from batchchat.cluster.gateway_messages import WorkerOrder
from batchchat.cluster.ray_relay import Relay
from batchchat.store.worker_file import WorkerFile
from batchchat.version import __version__

ECHO = """
import os, socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
end.sendall(f"{os.getpid()} {os.getppid()} {[n for n in os.environ if n.startswith('RAY_')]};".encode())
while data := end.recv(1000):
    end.sendall(data.upper())
sys.stderr.write("the run is gone\\n")
sys.exit(7)
"""


def relayed(folder: Path, play: Callable[[Relay, str], Awaitable[None]]) -> WorkerFile:
    """Start an echo in place of a worker, and `play` with its relay and what it says first."""
    file = WorkerFile.create(folder, 1)

    async def run() -> None:
        relay = Relay()
        host, problem = await relay.start(WorkerOrder(__version__, file))
        assert (host, problem) == (os.uname().nodename, None)
        first = await relay.receive()
        assert first is not None
        await play(relay, first.decode())

    def command(_module: str, channel: str) -> list[str]:
        return [sys.executable, "-c", ECHO, channel]

    with patch.object(ray_relay, "module_command", command), patch.dict(os.environ, {"RAY_AUTH_TOKEN": "x"}):
        asyncio.run(run())
    return file


def test_what_is_said_is_passed_on(tmp_path: Path) -> None:
    """Both ways, until the run is gone; then how the process ended."""
    file = WorkerFile(tmp_path / "worker-1.lock", "")

    async def play(relay: Relay, first: str) -> None:
        assert file.is_locked()
        assert first.endswith("[];"), "the token of Ray is not for the worker"
        await relay.send(b"yes")
        assert await relay.receive() == b"YES"
        await relay.close()
        assert await relay.receive() is None
        assert await relay.end() == "ended with exit code 7: the run is gone"

    assert not relayed(tmp_path, play).is_locked()


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    """By somebody else, or by the run: the signal is told."""

    async def play(relay: Relay, first: str) -> None:
        os.kill(int(first.split(maxsplit=1)[0]), signal.SIGKILL)
        assert await relay.receive() is None
        assert await relay.end() == "was killed by signal 9"

    async def play_kill(relay: Relay, _first: str) -> None:
        await relay.kill()
        assert await relay.receive() is None
        assert await relay.end() == "was killed by signal 9"

    relayed(tmp_path, play)
    assert not relayed(tmp_path, play_kill).is_locked()


def test_silence_is_an_end(tmp_path: Path) -> None:
    """Where the run asks for nothing for long, the way to it is cut, and the worker ends."""

    async def play(relay: Relay, _first: str) -> None:
        assert relay._watching is not None
        relay._watching.cancel()
        with patch.object(ray_relay, "SILENCE_S", 0.05):
            relay._watch()
            assert await relay.receive() is None
        assert await relay.end() == "ended with exit code 7: the run is gone"

    relayed(tmp_path, play)


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_is_refused(tmp_path: Path, *, is_ours: bool) -> None:
    """Another version of the program, and a machine that does not have the run's folder."""
    file = WorkerFile.create(tmp_path, 1)
    if is_ours:
        order, words = WorkerOrder("0.0.1", file), f"has batchchat {__version__}, and this machine 0.0.1. Install"
    else:
        order, words = WorkerOrder(__version__, file._replace(nonce="other")), "does not have the run folder"
    host, problem = asyncio.run(Relay().start(order))
    assert problem is not None
    assert problem.startswith(f"{host} {words}")
