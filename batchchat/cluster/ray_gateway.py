"""The gateway: a process that speaks with Ray for a run, so that the process of the run is not changed by it.

    python -m batchchat.cluster.ray_gateway FD

Ray handles signals, writes to the terminal, and takes a hundred MB: all that happens here. FD is a socket that leads to
the run, and the working folder is the gateway's own: a Ray that is started here keeps its files there. When the run is
gone, the gateway closes the workers' channels and waits for their end; it has inherited the run's lock, which holds
until then.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any

from batchchat.cluster.channel import Channel
from batchchat.cluster.gateway_messages import (
    MAX_JOIN_S,
    ConnectRay,
    KillWorker,
    LaneData,
    RayConnected,
    StartWorker,
    WorkerEnded,
    WorkerRefused,
    WorkerStarted,
)
from batchchat.cluster.ray_relay import Relay
from batchchat.execution.signals import HANDLED
from batchchat.job.cluster import CPU

__all__ = ["main"]

_MAX_BYTES = 1 << 16
_MAX_BACKLOG_BYTES = 1 << 20
"""A run that takes no messages, as while it is suspended, has its workers keep what they say."""
_POLL_S = 0.5
_OBJECT_STORE_BYTES = 80 << 20
"""About the least that Ray takes: nothing of a run is kept there."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
_MAX_WORDS = 300


class Gateway:
    """Passes on what the run and its workers say, by `channel` and through `ray`, until the run is gone."""

    def __init__(self, channel: Channel, ray: Any) -> None:
        self._channel = channel
        self._ray = ray
        self._relay_type = ray.remote(Relay)
        self._lanes: dict[int, RelayedWorker] = {}
        self._tasks = set[asyncio.Task[None]]()

    async def run(self) -> None:
        """Do what the run says."""
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, StartWorker):
                self._start(message)
            elif (lane := self._lanes.get(message.lane)) is not None:
                if isinstance(message, LaneData):
                    lane.pass_on(message.data)
                elif isinstance(message, KillWorker):
                    lane.kill()
        for lane in self._lanes.values():
            lane.close()
        await asyncio.gather(*self._tasks)

    def _start(self, order: StartWorker) -> None:
        relay = self._relay_type.options(
            **actor_options(order.resources), max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        ).remote()
        lane = self._lanes[order.lane] = RelayedWorker(order, relay, self._channel, self._ray)
        task = asyncio.create_task(lane.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._lanes.pop(order.lane, None))


class RelayedWorker:
    """A worker, by its `relay`."""

    def __init__(self, order: StartWorker, relay: Any, channel: Channel, ray: Any) -> None:
        self._order = order
        self._relay = relay
        self._channel = channel
        self._ray = ray
        self._has_started = False
        self._is_closed = False
        self._to_send = bytearray()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Start the worker, and pass on what is said until it has ended. What ends it is told, and raises nothing."""
        number = self._order.lane
        try:
            host, problem = await self._relay.start.remote(self._order.order)
            if problem is not None:
                self._channel.send(WorkerRefused(number, problem))
                return
            self._has_started = True
            self._channel.send(WorkerStarted(number, host))
            sending = asyncio.create_task(self._send())
            try:
                await self._receive()
                how = await self._relay.end.remote()
            finally:
                sending.cancel()
            self._channel.send(WorkerEnded(number, how))
        except self._ray.exceptions.RayError as error:
            words = one_line(error)
            if not self._has_started and not self._is_closed and is_refusal(error):
                self._channel.send(WorkerRefused(number, f"Ray can't start a worker: {words}"))
            else:
                self._channel.send(WorkerEnded(number, f"was lost: {words}"))
        finally:
            with suppress(self._ray.exceptions.RayError):
                self._ray.kill(self._relay)

    def pass_on(self, data: bytes) -> None:
        """Send `data` to the worker."""
        self._to_send += data
        self._wake.set()

    def close(self) -> None:
        """The run is gone: so it is for the worker, which ends."""
        self._is_closed = True
        if self._has_started:
            self._relay.close.remote()
        else:
            self._ray.kill(self._relay)

    def kill(self) -> None:
        """End the worker at once."""
        self._is_closed = True
        if self._has_started:
            self._relay.kill.remote()
        else:
            self._ray.kill(self._relay)

    async def _receive(self) -> None:
        while (data := await self._relay.receive.remote()) is not None:
            if data:
                self._channel.send(LaneData(self._order.lane, data))
            while self._channel.backlog_bytes > _MAX_BACKLOG_BYTES:
                await self._relay.send.remote(b"")  # the relay hears that the run is there
                await asyncio.sleep(_POLL_S)

    async def _send(self) -> None:
        """Pass on what is to be sent, in parts that Ray keeps out of its object store, until this is cancelled."""
        with suppress(self._ray.exceptions.RayError):  # `_receive` meets it, too
            while True:
                await self._wake.wait()
                while self._to_send:
                    data = bytes(self._to_send[:_MAX_BYTES])
                    del self._to_send[:_MAX_BYTES]
                    await self._relay.send.remote(data)
                self._wake.clear()


def actor_options(resources: Mapping[str, float]) -> dict[str, Any]:
    """`resources` by Ray's names as the options of an actor."""
    own = dict(resources)
    options: dict[str, Any] = {"num_cpus": own.pop(CPU, 0), "num_gpus": own.pop("GPU", 0)}
    if (memory := own.pop("memory", None)) is not None:
        options["memory"] = memory
    return {**options, "resources": own}


def is_refusal(error: BaseException) -> bool:
    """Whether another try to start the actor would meet the same `error`; not where its process or node was lost."""
    return bool(getattr(error, "actor_init_failed", True))  # `RayActorError` says whether its constructor failed


def one_line(error: BaseException) -> str:
    """What `error` of Ray says, whose last line names its cause, without the colours of a terminal."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:_MAX_WORDS]


def connect(ray: Any, order: ConnectRay, folder: str) -> None:
    """Connect to the cluster of `order`, or start one that is closed to the network and keeps its files in `folder`.

    Raises what Ray raises.
    """
    quiet = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
    if order.address is not None:
        del quiet["include_dashboard"]
        signal.alarm(MAX_JOIN_S)
        try:
            ray.init(address=order.address, **quiet)
        finally:
            signal.alarm(0)
        return
    resources = dict(order.resources)
    ray.init(
        address="local",
        num_cpus=math.ceil(resources.pop(CPU, 0)),
        num_gpus=math.ceil(resources.pop("GPU", 0)),
        resources={name: amount for name, amount in resources.items() if name != "memory"},
        object_store_memory=_OBJECT_STORE_BYTES,
        _temp_dir=f"{folder}/ray",  # Ray opens it to all users; what is above it is not
        **quiet,
    )
    address = ray.util.get_node_ip_address()
    if not address.startswith("127."):  # never open a door by a change in Ray
        ray.shutdown()
        raise RuntimeError(f"this version of Ray listens on {address}, where others could reach it")


def set_up_own(environ: MutableMapping[str, str]) -> None:
    """Set the variables of a Ray that is started here: reachable on loopback only, and only with a token."""
    environ.update(
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=secrets.token_hex(32),
        # Its name notwithstanding, on Linux too it is what makes Ray use 127.0.0.1.
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
        RAY_worker_niceness="0",  # workers are what the machine is there for
    )
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR"):
        environ.pop(name, None)


async def _serve(end: socket.socket, folder: str) -> None:
    channel = await Channel.open(end)
    order = await channel.receive()
    if order is None:
        return
    os.environ.update(_QUIET)
    if order.address is None:
        set_up_own(os.environ)
    import ray

    try:
        connect(ray, order, folder)
    except Exception as error:  # noqa: BLE001 (Ray raises of every kind; the run says it)
        channel.send(RayConnected(one_line(error)))
        await channel.close()
        return
    channel.send(RayConnected())
    try:
        await Gateway(channel, ray).run()
    finally:
        ray.shutdown()
        await channel.close()


def main(descriptor: int) -> None:
    """Be the gateway of the run that the socket `descriptor` leads to."""
    for number in HANDLED:
        signal.signal(number, lambda *_: None)  # the run acts on them; what is ignored Ray's processes would inherit
    folder = os.getcwd()  # noqa: PTH109 (Ray takes a text)
    try:
        asyncio.run(_serve(socket.socket(fileno=descriptor), folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
