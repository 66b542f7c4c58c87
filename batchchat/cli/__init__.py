"""The command line: parse, call, print; no logic."""

from batchchat.cli.main import main

__all__ = ["main"]
