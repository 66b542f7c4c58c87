"""What the command says on Windows, whose files and signals a run cannot rely on."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(*_arguments: object, **_options: object) -> None:
    """Say where batchchat runs, and exit with code 2."""
    sys.stderr.write(
        "error: batchchat runs on Linux and macOS, not on Windows itself. Use WSL (`wsl --install`), and run the same"
        " command there.\n"
    )
    sys.exit(2)
