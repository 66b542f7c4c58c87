"""The command on each system: nothing is imported on Windows that is not there."""

import sys

if sys.platform == "win32":
    from batchchat.cli.windows import main
else:
    from batchchat.cli.main import main

__all__ = ["main"]
