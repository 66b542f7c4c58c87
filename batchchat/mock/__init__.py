"""A local endpoint that answers as DeepInfra does, for trials without a key, for tests and benchmarks.

It imports nothing of batchchat outside this folder.
"""

from __future__ import annotations

from batchchat.mock.faults import Fault, parse_fault
from batchchat.mock.options import MockOptions
from batchchat.mock.server import MockServer

__all__ = ["Fault", "MockOptions", "MockServer", "parse_fault"]
