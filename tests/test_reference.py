"""The README says what the declarations say."""

from __future__ import annotations

import re

from batchchat.cli import main
from batchchat.job.keys import KEYS
from batchchat.store.columns import COLUMNS
from tests.reference import README, with_tables


def test_the_tables_are_those_of_the_declarations() -> None:
    """Commands, keys and columns in the README are as they are in the code; `make reference` writes them anew."""
    text = README.read_text()
    assert with_tables(text) == text
    for name in [*main.commands, *(key.name for key in KEYS), *(column.name for column in COLUMNS)]:
        assert re.search(rf"^\| `(batchchat )?{re.escape(name)}[` ]", text, re.MULTILINE), name
