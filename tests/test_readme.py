"""What the README and docs/ tell the reader to type exists and gives what they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from batchchat.cli import main
from tests.readme import examples_of, files_of, same, sessions_of, typed
from tests.reference import PAGES, PYTHON, README

PLACEHOLDER = re.compile(r"\b(JOB|OUTPUT|COMMAND|MODEL|DIR)\b")


def test_the_whole_example(tmp_path: Path) -> None:
    """The README's files, commands and outputs are one working example; `make reference` writes the outputs again."""
    text = README.read_text()
    for name, content in files_of(text).items():
        (tmp_path / name).write_text(content)
    sessions = sessions_of(text)
    assert [command for command, _ in sessions] == ["batchchat run reviews.yaml", "python join.py", "python label.py"]
    for command, shown in sessions:
        printed = typed(tmp_path, command)
        assert same(printed, shown), printed


def commands_of(text: str) -> list[tuple[str, bool]]:
    """The calls of batchchat on a page, each with whether it is whole: those in prose may lack their arguments."""
    blocks = re.findall(r"^```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    whole = [line.partition(" #")[0].partition(" > ")[0] for block in blocks for line in block.splitlines()]
    parts = re.findall(r"(?<!`)`(batchchat [^`\n]+)`", prose)
    return [(line, True) for line in whole if line.startswith("batchchat ")] + [(line, False) for line in parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_ones_there_are(page: Path) -> None:
    """Each batchchat command on a page has a name, options and values that exist."""
    for line, is_whole in commands_of(page.read_text()):
        if PLACEHOLDER.search(line):
            continue
        name, *words = shlex.split(line.removeprefix("batchchat "))
        main.commands[name].make_context(name, words, resilient_parsing=not is_whole)


def test_the_examples_from_python(tmp_path: Path) -> None:
    """docs/python.md is run from its first line to its last: files, commands with what they print, and examples."""
    text = PYTHON.read_text()
    for name, content in files_of(text).items():
        (tmp_path / name).write_text(content)
    sessions = sessions_of(text)
    assert [command for command, _ in sessions] == ["python first.py", "python frame.py"]
    for command, shown in sessions:
        printed = typed(tmp_path, command)
        assert same(printed, shown), printed
    examples = examples_of(text)
    assert len(examples) == 3
    (tmp_path / "examples.py").write_text("".join(examples))
    assert "answered" in typed(tmp_path, "python examples.py")
