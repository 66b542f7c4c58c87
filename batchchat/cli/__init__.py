"""The command line: parse, call, print; no logic."""

from batchchat.cli.entry import main

__all__ = ["main"]
