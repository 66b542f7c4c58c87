"""The limits that jobs on one machine share: a file of leases, which whoever asks reads and writes under a lock.

There is no process that leases: each plays the lessor for the moment of its ask. What it knows stands in `leases.json`,
which is replaced whole. A job that runs holds a lock on a file of its own, which the kernel releases however the job
ends: so one that was killed is noticed by the next ask of another. One that is suspended or hangs loses its lease as a
worker does. Times are those of the machine's monotonic clock, and the folder is that of one boot of one machine; those
of former boots are removed when nobody has used them for a month.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.cluster.lessor import LeaseTerms, Lessor
from batchchat.cluster.messages import Ask, Grant
from batchchat.errors import MachineError, UsageError, error_of_machine
from batchchat.store.file_lock import is_locked

__all__ = ["LeaseFile", "Sharer", "leases_folder", "remove_unused"]

_LEASES, _LOCK = "leases.json", "lock"
_LINGER_S = 3.0
"""How long the endpoint may take to see that the connections of a killed process are closed."""
_PATIENCE_S, _RETRY_PAUSE_S = 5.0, 0.005
_UNUSED_S = 30 * 86400
"""After how long a folder of another boot is removed: it may be one of another machine, with the same home."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LIMITS = ("concurrency", "limits.requests_per_minute", "limits.tokens_per_minute")


class Sharer(NamedTuple):
    """A job that shares the limits: its process, what messages call it, and how many seconds its attempts may take."""

    pid: int
    job: str
    attempt_s: float


class LeaseFile:
    """The leases in `folder`, which jobs that write `limits.share: name` share by `terms`, and this job's part in them.

    `name_of_job` is what messages of other jobs call this one.
    """

    def __init__(self, folder: Path, name: str, terms: LeaseTerms, name_of_job: str) -> None:
        self._folder = folder
        self._name = name
        self._terms = terms
        self._own = Sharer(os.getpid(), name_of_job, terms.attempt_s)
        self._descriptor: int | None = None
        self.lock = folder / _LOCK
        self.worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        """What the leases call this job."""

    def join(self) -> list[Sharer]:
        """Share from now on; returns who else does.

        Raises `UsageError` where they go by other limits, or the folder can't be used; `MachineError` for a full disk.
        """
        with self._named_errors(sent=False):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked(_PATIENCE_S) as is_locked:
                if not is_locked:
                    raise UsageError(
                        f"`limits.share: {self._name}`: another process has held {self.lock} for {_PATIENCE_S:g} s. End"
                        " it, or share another name, then run the same command again."
                    )
                state = self._state(time.monotonic())
                if (difference := self._difference(state)) is not None:
                    raise UsageError(difference)
                self._descriptor = _locked_file(self._folder / self.worker)
                others = list(state.sharers.values())
                try:
                    self._write(state)
                except OSError:
                    self._let_go()
                    raise
        return others

    def answer(self, ask: Ask) -> Grant | None:
        """The grant for this job's `ask`; None where another process has the file, so that the next ask has to do.

        Raises `MachineError`.
        """
        with self._named_errors(sent=True), self._locked(0.0) as is_locked:
            if not is_locked:
                return None
            now = time.monotonic()
            state = self._state(now)
            if (difference := self._difference(state)) is not None:  # they came while this process was suspended
                raise MachineError(difference)
            grant = state.lessor.answer(now, ask)
            self._write(state)
            return grant

    def leave(self) -> None:
        """Share no longer. What is in flight still is lent anew when it must have ended."""
        if self._descriptor is None:
            return
        with suppress(OSError), self._locked(_PATIENCE_S) as is_locked:
            if is_locked:
                now = time.monotonic()
                state = self._state(now)
                state.end(now, self.worker)
                state.sharers.pop(self.worker, None)
                self._write(state, without_own=True)
        self._let_go()

    def _let_go(self) -> None:
        """Be seen to have ended, whatever the leases say."""
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None
        with suppress(OSError):
            (self._folder / self.worker).unlink()
        os.close(descriptor)

    def _difference(self, state: _State) -> str | None:
        """Words for that this job's limits are not those of the jobs that share them."""
        if not state.sharers or state.terms == _limits(self._terms):
            return None
        sharer = next(iter(state.sharers.values()))
        differing = [
            f"`{key}` is {_shown(theirs)} there, and {_shown(ours)} here"
            for key, theirs, ours in zip(_LIMITS, state.terms, _limits(self._terms), strict=True)
            if theirs != ours
        ]
        return (
            f"`limits.share: {self._name}`: {sharer.job} (pid {sharer.pid}) shares other limits under this name:"
            f" {'; '.join(differing)}. Jobs that share a limit state the same one: change it here, or share another"
            " name."
        )

    def _state(self, now: float) -> _State:
        """What the file says, without those that have ended."""
        state = _read(self._folder / _LEASES, self._terms, now)
        for worker in [worker for worker in state.sharers if worker != self.worker]:
            if not is_locked(self._folder / worker):
                state.end(now, worker)
                del state.sharers[worker]
                with suppress(OSError):
                    (self._folder / worker).unlink()
        state.sharers.pop(self.worker, None)
        if not state.sharers and state.terms != _limits(self._terms):
            lessor = Lessor(self._terms)
            lessor.take_over_slots(state.lessor)
            state = _State(_limits(self._terms), lessor, {})
        return state

    def _write(self, state: _State, *, without_own: bool = False) -> None:
        own = {} if without_own else {self.worker: self._own}
        building = self._folder / f".{_LEASES}"
        building.write_bytes(lossless_json.dumps(state.json(time.monotonic(), own)) + b"\n")
        building.replace(self._folder / _LEASES)  # not synced: after a loss of power there are no leases

    @contextmanager
    def _locked(self, patience_s: float) -> Iterator[bool]:
        """Hold the lock, if it can be had in time; the event loop must not wait for a process that was suspended."""
        until = time.monotonic() + patience_s
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not (is_locked := _try_lock(descriptor)) and time.monotonic() < until:
                time.sleep(_RETRY_PAUSE_S)
            yield is_locked
        finally:
            os.close(descriptor)

    @contextmanager
    def _named_errors(self, *, sent: bool) -> Iterator[None]:
        """What the operating system refuses is an error that names the leases; `sent` as of `error_of_machine`."""
        try:
            yield
        except OSError as error:
            error.filename = error.filename or str(self._folder)
            of_machine = error_of_machine(error, sent=sent)
            assert of_machine is not None, "it has a path"
            raise type(of_machine)(f"the leases of `limits.share: {self._name}`: {of_machine}") from error


class _State(NamedTuple):
    """What a file of leases says: by which limits, who holds what, and who shares."""

    terms: tuple[float | None, ...]
    lessor: Lessor
    sharers: dict[str, Sharer]

    def end(self, now: float, worker: str) -> None:
        self.lessor.end(now, worker, _LINGER_S, is_replaced=False)
        self.lessor.forget(worker)

    def json(self, now: float, own: Mapping[str, Sharer]) -> dict[str, Any]:
        sharers = {worker: sharer._asdict() for worker, sharer in {**self.sharers, **own}.items()}
        limits = dict(zip(_LIMITS, self.terms, strict=True))
        return {"limits": limits, "jobs": sharers, "at": now, "leases": self.lessor.state(now)}


def leases_folder(name: str, environ: Mapping[str, str]) -> Path:
    """Where the leases of `limits.share: name` stand: in the user's folder for state, of this boot of this machine."""
    home = Path(environ.get("XDG_STATE_HOME", ""))
    if not home.is_absolute():
        if "HOME" not in environ:
            raise UsageError(f"`limits.share: {name}` needs a place for its leases: set HOME, or XDG_STATE_HOME.")
        home = Path(environ["HOME"]) / ".local/state"
    try:
        machine = _BOOT_ID.read_text().strip()
    except OSError:
        machine = socket.gethostname()
    return home / "batchchat" / "limits" / machine / name


def remove_unused(folder: Path) -> None:
    """Remove leases of other boots than that of `folder`, a `leases_folder`, that nobody holds or has used for long."""
    before = time.time() - _UNUSED_S
    with suppress(OSError):
        for leases in folder.parent.parent.glob(f"*/*/{_LEASES}"):
            unused = leases.parent
            if unused.parent == folder.parent or leases.stat().st_mtime >= before:
                continue
            if not any(map(is_locked, unused.iterdir())):
                shutil.rmtree(unused)
                with suppress(OSError):  # there are others of that boot
                    unused.parent.rmdir()


def _read(path: Path, terms: LeaseTerms, now: float) -> _State:
    """The state at `path`; where there is none that can be read, nothing is lent until all leases have ended."""
    lessor = Lessor(terms)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return _State(_limits(terms), lessor, {})
    try:
        fields = lossless_json.loads(raw)
        limits = tuple(fields["limits"][key] for key in _LIMITS)
        sharers = {worker: Sharer(**sharer) for worker, sharer in fields["jobs"].items()}
        if fields["at"] > now:  # before the machine was started anew
            return _State(_limits(terms), lessor, {})
        attempt_s = max([terms.attempt_s, *(sharer.attempt_s for sharer in sharers.values())])
        lessor = Lessor(LeaseTerms(limits[0], attempt_s, *limits[1:]))
        lessor.resume(fields["leases"])
    except (LookupError, TypeError, ValueError, AttributeError):
        lessor = Lessor(terms)
        lessor.withhold(now, terms.slots)
        return _State(_limits(terms), lessor, {})
    return _State(limits, lessor, sharers)


def _limits(terms: LeaseTerms) -> tuple[float | None, ...]:
    return terms.slots, terms.requests_per_minute, terms.tokens_per_minute


def _shown(limit: float | None) -> str:
    return "null" if limit is None else f"{limit:g}"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _locked_file(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
