"""What the gateway makes of a job's resources, of Ray's errors, and of its environment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from batchchat.cluster import ray_gateway
from batchchat.cluster.gateway_messages import StartWorker, WorkerEnded, WorkerOrder, WorkerRefused
from batchchat.cluster.ray_gateway import RelayedWorker, actor_options, one_line, set_up_own
from batchchat.store.worker_file import WorkerFile


def test_resources_by_rays_names() -> None:
    """Those with options of their own, and others."""
    assert actor_options({"CPU": 0.5, "GPU": 1, "memory": 2e9, "fast": 1}) == {
        "num_cpus": 0.5,
        "num_gpus": 1,
        "memory": 2e9,
        "resources": {"fast": 1},
    }
    assert actor_options({}) == {"num_cpus": 0, "num_gpus": 0, "resources": {}}


def test_one_line_of_an_error() -> None:
    """Its last line names the cause."""
    assert one_line(RuntimeError("Traceback\n  File x\n\nModuleNotFoundError: No module named 'batchchat'\n ")) == (
        "ModuleNotFoundError: No module named 'batchchat'"
    )
    assert one_line(ValueError()) == "ValueError"


def test_a_ray_of_its_own_is_closed() -> None:
    """A token that nobody knows, loopback, and no cluster that a variable names."""
    environ = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN_PATH": "x", "RAY_AUTH_TOKEN": "known", "HOME": "/root"}
    set_up_own(environ)
    token = environ.pop("RAY_AUTH_TOKEN")
    assert len(token) == 64
    assert environ == {
        "HOME": "/root",
        "RAY_AUTH_MODE": "token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_worker_niceness": "0",
    }


class PlayedRayError(Exception):
    """As Ray's error of an actor is."""

    def __init__(self, words: str, *, actor_init_failed: bool) -> None:
        super().__init__(words)
        self.actor_init_failed = actor_init_failed


def test_an_actor_that_does_not_start(tmp_path: Path) -> None:
    """One whose node is lost is replaced, as any worker; what each would meet again ends the run."""

    def ends_with(error: Exception) -> list[Any]:
        messages = list[Any]()

        async def start(_: Any) -> None:
            raise error

        ray: Any = SimpleNamespace(exceptions=SimpleNamespace(RayError=Exception), kill=lambda _: None)
        relay = SimpleNamespace(start=SimpleNamespace(remote=start))
        order = StartWorker(1, WorkerOrder("1", WorkerFile(tmp_path, "")), {})
        channel: Any = SimpleNamespace(send=messages.append)
        asyncio.run(RelayedWorker(order, relay, channel, ray).run())
        return messages

    lost = PlayedRayError("The actor died.\nits node has died", actor_init_failed=False)
    refused = PlayedRayError("x\nModuleNotFoundError: batchchat", actor_init_failed=True)
    assert ends_with(lost) == [WorkerEnded(1, "was lost: its node has died")]
    assert ends_with(refused) == [WorkerRefused(1, "Ray can't start a worker: ModuleNotFoundError: batchchat")]
    assert ends_with(ValueError("unschedulable")) == [WorkerRefused(1, "Ray can't start a worker: unschedulable")]


def test_a_run_that_takes_no_messages(tmp_path: Path) -> None:
    """As while it is suspended: its worker keeps what it says, and its relay hears that the run is there."""
    calls, channel = list[str](), SimpleNamespace(backlog_bytes=0, send=lambda _: calls.append("passed on"))

    async def receive() -> bytes | None:
        calls.append("receive")
        channel.backlog_bytes = 2 << 20
        return b"news" if calls.count("receive") == 1 else None

    async def send(data: bytes) -> None:
        calls.append(f"send {data!r}")
        channel.backlog_bytes = 0 if calls.count("send b''") == 2 else 2 << 20

    relay = SimpleNamespace(receive=SimpleNamespace(remote=receive), send=SimpleNamespace(remote=send))
    order = StartWorker(1, WorkerOrder("1", WorkerFile(tmp_path, "")), {})
    ray: Any = None
    with patch.object(ray_gateway, "_POLL_S", 0.0):
        asyncio.run(RelayedWorker(order, relay, channel, ray)._receive())  # type: ignore[arg-type]
    assert calls == ["receive", "passed on", "send b''", "send b''", "receive"]
