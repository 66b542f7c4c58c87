"""What all tests share: machines are noisy, so that no property is timed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.object_server import ObjectServer
from tests.s3 import S3, s3_server

# Tests start hundreds of processes and pytest-xdist its own: they read what was compiled once, whatever the shell says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that no sentence is too long for: what is said is tested apart from where its lines end."""
    monkeypatch.setattr("batchchat.text.labelled.get_terminal_size", lambda: os.terminal_size((500, 50)))


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3]:
    """An S3 server; without moto or obstore the test is skipped."""
    for module in ("obstore", "moto.server", "boto3"):
        pytest.importorskip(module, reason=f"{module.partition('.')[0]} is not installed (extra `test`)")
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An S3 server, with what a program needs to reach it in the environment."""
    _set_all(monkeypatch, s3_process.environ)
    return s3_process


@pytest.fixture(scope="session")
def azurite_process() -> Iterator[ObjectServer]:
    """Azure's emulator; where it or obstore is not installed the test is skipped."""
    pytest.importorskip("obstore", reason="obstore is not installed (extra `test`)")
    from tests.azurite import azurite_server, has_azurite

    if not has_azurite():
        pytest.skip("Azure's emulator is not installed: npm install -g azurite")
    with azurite_server() as server:
        yield server


@pytest.fixture
def azurite(azurite_process: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    """Azure's emulator, with what a program needs to reach it in the environment."""
    _set_all(monkeypatch, azurite_process.environ)
    return azurite_process


def _set_all(monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def pytest_configure() -> None:
    """A shell starts what it puts in the background with SIGINT ignored, and what is ignored we leave so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests run only where `-m` names them."""
    chosen = str(config.getoption("-m"))
    for marker in ("soak", "field"):
        if marker in chosen:
            continue
        skip = pytest.mark.skip(reason=f"takes long: pytest -m {marker}")
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(skip)
