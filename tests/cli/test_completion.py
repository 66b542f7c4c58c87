"""Completion as a shell asks for it."""

from __future__ import annotations

import pytest
from click.shell_completion import BashComplete, CompletionItem

from batchchat.cli import main
from batchchat.job import KEYS


def completed(*words: str) -> list[CompletionItem]:
    """What may stand in the place of the last of `words`."""
    shell = BashComplete(main, {}, "batchchat", "_BATCHCHAT_COMPLETE")
    return shell.get_completions(list(words[:-1]), words[-1])


def values(*words: str) -> list[str]:
    return [item.value for item in completed(*words)]


def test_commands() -> None:
    """Commands complete by their beginning, all of them with a word of help."""
    assert values("va") == ["validate"]
    assert {item.value for item in completed("")} == set(main.commands)
    assert all(item.help for item in completed(""))


def test_options() -> None:
    """A command's options complete, and the words an option takes."""
    assert values("status", "--") == ["--json", "--watch", "--help"]
    assert values("run", "job.yaml", "--li") == ["--limit"]
    assert values("run", "--progress", "l") == ["log"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("run", "jo"), "file"),
        (("validate", ""), "file"),
        (("status", "out/"), "file"),
        (("export", ""), "file"),
        (("run", "job.yaml", "--output", "o"), "file"),
        (("init", "ch"), "dir"),
    ],
)
def test_files(words: tuple[str, ...], kind: str) -> None:
    """Where a job, an output or a folder stands, the shell is asked for files, or for folders."""
    assert [(item.type, item.value) for item in completed(*words)] == [(kind, words[-1])]


@pytest.mark.parametrize("command", ["run", "validate"])
def test_job_keys(command: str) -> None:
    """After --set the keys of a job complete, as far as the value."""
    assert values(command, "--set", "retry.max_w") == ["retry.max_wait="]
    assert values(command, "--set", "") == [f"{key.name}=" for key in KEYS]


def test_the_line_for_the_shell_is_told() -> None:
    """`batchchat --help` has the line that a shell needs."""
    assert 'eval "$(_BATCHCHAT_COMPLETE=bash_source batchchat)"' in (main.epilog or "")
