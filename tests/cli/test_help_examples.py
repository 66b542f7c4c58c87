"""What stands under `Example:` in a command's help is typed into a shell, and does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from contextlib import chdir
from pathlib import Path

import click
import pytest

from batchchat.cli import main
from tests.acceptance.job import PATIENCE_S
from tests.cli.called import call

REPOSITORY = Path(__file__).parents[2]
SERVERS = {"mock-server"}
COMMANDS: dict[str, click.Command] = {"": main, **main.commands}


def examples(command: click.Command) -> list[str]:
    """The lines under `Example:` that are to be typed."""
    _, _, below = (command.epilog or "").partition("Example:\n\n")
    return [line.strip() for line in below.split("\n\n")[0].splitlines() if line.strip()]


def environ(world: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "DEEPINFRA_TOKEN"},
        "PATH": f"{world / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "80",
    }


def type_in(world: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(
        command, cwd=world, env=environ(world), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout as a user has it, with `batchchat` on the PATH, some rows of a job answered, and a batch's output."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "bin").mkdir()
    (folder / "sample_data").symlink_to(REPOSITORY / "sample_data")
    shutil.copytree(REPOSITORY / "jobs", folder / "jobs")  # outputs are relative to their job, and land here
    script = folder / "bin" / "batchchat"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batchchat "$@"\n')
    script.chmod(0o755)
    with chdir(folder):
        for line in (
            "run jobs/first.yaml --limit 5",
            "export jobs/first.yaml --to openai-batch -o batch-output.jsonl",
            "run jobs/first.yaml --set input.first=8 --shard 1/2",
            "run jobs/first.yaml --set input.first=8 --shard 2/2",
        ):
            called = call(*line.split(), DEEPINFRA_TOKEN=None)
            assert called.code == 0, called.err
    return folder


def test_every_command_has_an_example() -> None:
    """No command is without one, and each begins with the command it is of."""
    for name, command in COMMANDS.items():
        lines = examples(command)
        assert lines, f"`batchchat {name} --help` has no example"
        assert all(re.match(rf"batchchat {name}\b", line) for line in lines), lines
    assert set(examples(main)) <= {line for command in main.commands.values() for line in examples(command)}


@pytest.mark.parametrize("name", [name for name in main.commands if name not in SERVERS])
def test_examples_do_what_they_say(world: Path, name: str) -> None:
    """Typed as it stands, each ends with exit 0, says something, and complains of nothing."""
    for line in examples(COMMANDS[name]):
        before = set(world.rglob("*"))
        ended = type_in(world, line)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout or set(world.rglob("*")) > before, line
        assert "error:" not in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_servers_answer(world: Path, name: str) -> None:
    """A server of an example, on a port that is free, answers what it says it does, and ends when it is told to."""
    for line in examples(COMMANDS[name]):
        words = shlex.split(re.sub(r"--port \d+", "--port 0", line))
        assert "--port 0" in shlex.join(words)
        process = subprocess.Popen(words, cwd=world, env=environ(world), stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            found = re.search(r"http://\S+?:\d+", said)
            assert found, said
            with urllib.request.urlopen(f"{found.group()}/v1/me/rate_limit", timeout=30) as response:
                assert json.load(response)["rate_limit"] == 200
        finally:
            process.terminate()
            code = process.wait(PATIENCE_S)
            if process.stderr is not None:
                process.stderr.close()
        assert code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_them_whole(name: str) -> None:
    """On a terminal of 80 columns each example stands on one line of the help, to be copied."""
    words = [name] if name else []
    context = main.make_context("batchchat", [*words, "--help"], resilient_parsing=True)
    shown = COMMANDS[name].get_help(click.Context(COMMANDS[name], context, info_name=name, terminal_width=80))
    for line in examples(COMMANDS[name]):
        assert f"  {line}\n" in f"{shown}\n"
