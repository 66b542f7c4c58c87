"""The table of commands: it names all there are, and says of each what its own module does."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

import batchchat.cli
from batchchat.cli import main
from batchchat.cli.commands import SHORT_HELP
from tests.cli.called import call

MODULES = Path(batchchat.cli.__file__).parent


@pytest.mark.parametrize("name", SHORT_HELP)
def test_each_is_the_command_of_its_name(name: str) -> None:
    """A command is looked up by the name it has itself, and has its line of help from the table."""
    command = main.commands[name]
    assert isinstance(command, click.Command)
    assert (command.name, command.get_short_help_str()) == (name, SHORT_HELP[name])
    assert command.help


def test_no_command_is_left_out() -> None:
    """Every module of `cli` with a command is in the table, and a name that is not is refused with the nearest."""
    defining = {path.stem for path in MODULES.glob("*.py") if "\n@click.command(" in path.read_text()}
    assert defining == {name.replace("-", "_").replace("import", "import_") for name in SHORT_HELP}
    assert "nothing" not in main.commands
    with pytest.raises(KeyError):
        main.commands["nothing"]
    refused = call("statsu")
    assert refused.code == 2
    assert "status" in refused.err
