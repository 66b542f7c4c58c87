"""What all tests share: machines are noisy, so that no property is timed."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_configure() -> None:
    """A shell starts what it puts in the background with SIGINT ignored, and what is ignored we leave so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole runs take minutes: they run only where `-m` names them."""
    if "soak" in str(config.getoption("-m")):
        return
    skip = pytest.mark.skip(reason="a long run: pytest -m soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)
