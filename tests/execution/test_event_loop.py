"""The process that sends: its memory is used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROUNDS = """
import asyncio, resource, sys
from batchchat.execution.event_loop import event_loop

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

async def rounds():
    for count in range(20):
        blocks = [b"x" * (4 << 20) for _ in range(6)]
        del blocks
        if not count:
            before = faults()
    return faults() - before

sys.stdout.write(str(event_loop(rounds())))
"""
PAGES_OF_A_ROUND = (6 * 4 << 20) // 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator, another rule")
def test_memory_that_comes_and_goes_is_not_given_back_each_time() -> None:
    """24 MiB that are freed and allocated again 19 times are asked of the system at most once more."""
    faults = subprocess.check_output([sys.executable, "-c", ROUNDS], text=True, timeout=120)
    assert int(faults) < PAGES_OF_A_ROUND
