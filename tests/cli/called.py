"""Commands called in this process, as from a shell in a folder of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from click.testing import CliRunner

from batchchat.cli import main

__all__ = ["Called", "call"]


@dataclass(frozen=True, slots=True)
class Called:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


def call(*arguments: str, **environ: str | None) -> Called:
    """`batchchat` with `arguments`, its streams no terminal."""
    result = CliRunner().invoke(main, arguments, env=environ, prog_name="batchchat")
    assert result.exc_info is None or result.exc_info[0] is SystemExit, result.exception
    return Called(result.exit_code, result.stdout, result.stderr)
