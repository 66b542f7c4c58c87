"""The Dockerfile's instructions, played without Docker: in a folder that stands for the image's root.

The base image, the layers and the network of a container are not tried here: only what our instructions do.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batchchat.execution.signals import HANDLED
from tests.acceptance.job import until

ROOT = Path(__file__).parent.parent
DOCKERFILE = ROOT / "Dockerfile"
# The user may read the Python and the libraries of this machine, wherever they are; it may write what is its own.
READS_ALL = ("--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage, without its FROM, as name and arguments."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for name, _, arguments in (line.partition(" ") for line in lines):
        if name == "FROM":
            stages.append([])
        else:
            stages[-1].append((name, arguments))
    return stages[stage]


def settings() -> dict[str, str]:
    """What the image says of its containers, by instruction."""
    return {name: arguments for name, arguments in instructions(-1) if name not in {"RUN", "COPY"}}


def test_signals_reach_the_command() -> None:
    """It is process 1 itself, no shell is before it, and it handles the signal that stops a container."""
    assert json.loads(settings()["ENTRYPOINT"]) == ["batchchat"]
    assert signal.Signals[settings()["STOPSIGNAL"]] in HANDLED


def test_nobody_is_root() -> None:
    """The user is a number, by which Kubernetes sees that it is not root; it works in the volume."""
    user, group = settings()["USER"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert settings()["VOLUME"] == settings()["WORKDIR"]


@dataclass(frozen=True)
class Image:
    """A folder with what the instructions made."""

    root: Path

    @property
    def work(self) -> Path:
        return Path(f"{self.root}{settings()['WORKDIR']}")

    def start(self, *words: str, host: str, user: str | None = None) -> subprocess.Popen[str]:
        """A container: process 1 of its own, a host name of its own, no HOME."""
        number, group = (user or settings()["USER"]).split(":")
        entry = [*json.loads(settings()["ENTRYPOINT"]), *words]
        privileges = ["setpriv", f"--reuid={number}", f"--regid={group}", *READS_ALL, *entry]
        shell = ["sh", "-c", f"hostname {host} && exec {shlex.join(privileges)}"]
        return subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--uts", *shell],
            cwd=self.work,
            env={"PATH": f"{self.root}/venv/bin:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def files(self) -> set[Path]:
        """All but what is in the volume."""
        return {path for path in self.root.rglob("*") if not path.is_relative_to(self.work)}


def context(folder: Path) -> None:
    """Copy what .dockerignore lets into the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("*", "**/__pycache__")
    for name in (line.removeprefix("!") for line in lines[1:-1]):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def play(root: Path, stage: int) -> None:
    """Carry out COPY and RUN, with `root` before each absolute path; pip takes what this machine has."""
    for name, arguments in instructions(stage):
        words = [f"{root}{word}" if word.startswith("/") else word for word in shlex.split(arguments)]
        if name == "COPY" and words[0] == ".":
            context(Path(words[1]))
        elif name == "RUN" and words[0] == "pip":
            offline = ["--no-build-isolation"] if words[1] == "wheel" else ["--no-deps", "--no-index"]
            pip = [sys.executable, "-m", "pip", "--quiet", "--python", f"{root}/venv/bin/python"]
            command = shlex.join([*pip, *words[1:], *offline]).replace("'", "")
            subprocess.run(command, shell=True, check=True, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        elif name == "RUN":
            subprocess.run(words, check=True)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What both stages make."""
    for module in ("pip", "hatchling"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    unshared = shutil.which("unshare") and subprocess.run(["unshare", "--pid", "--fork", "--uts", "true"], check=False)
    if os.geteuid() != 0 or not unshared or unshared.returncode or not shutil.which("setpriv"):
        pytest.skip("needs root, and `unshare` and `setpriv` of Linux, to be process 1 and another user")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        venv.create(root / "venv", symlinks=True)
        site = Path(sysconfig.get_path("purelib", vars={"base": f"{root}/venv", "platbase": f"{root}/venv"}))
        (site / "libraries.pth").write_text("".join(f"{p}\n" for p in sys.path if Path(p).name == "site-packages"))
        play(root, 0)
        play(root, -1)
        shutil.copytree(ROOT / "jobs", root / "work/jobs")
        shutil.copytree(ROOT / "sample_data", root / "work/sample_data")
        yield Image(root)


@pytest.mark.field
def test_the_context_is_enough(image: Image) -> None:
    """The wheel has the package whole."""
    [wheel] = (image.root / "wheels").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"batchchat/{path.name}" for path in (ROOT / "batchchat").glob("*.py")} <= set(names)
    assert "batchchat/examples/jobs/label.yaml" in names


@pytest.mark.field
def test_a_run_writes_to_the_volume_only(image: Image) -> None:
    """The image's user, without a home, runs a job; its files are its own, and the image is as it was."""
    before = image.files()
    run = image.start("run", "jobs/first.yaml", "--output", "one.parquet", host="one")
    out, err = run.communicate()
    assert run.returncode == 0, err
    assert "80 of 80 rows answered" in out
    user, group = map(int, settings()["USER"].split(":"))
    status = (image.work / "one.parquet").stat()
    assert (status.st_uid, status.st_gid) == (user, group)
    assert image.files() == before


@pytest.mark.field
def test_another_user_in_a_folder_of_its_own(image: Image) -> None:
    """`docker run --user "$(id -u):$(id -g)"`: a number that no passwd has, and a folder that belongs to it."""
    folder = image.work / "mine"
    folder.mkdir()
    os.chown(folder, 4321, 4321)
    run = image.start("run", "jobs/first.yaml", "--output", "mine/two.parquet", host="two", user="4321:4321")
    _, err = run.communicate()
    assert run.returncode == 0, err
    assert (folder / "two.parquet").stat().st_uid == 4321


@pytest.mark.field
def test_a_stop_drains_and_another_container_goes_on(image: Image) -> None:
    """Process 1 drains at the stop signal; while it runs, another container is refused; later it sends the others."""
    words = ("run", "jobs/first.yaml", "--output", "three.parquet", "--concurrency", "2")
    first = image.start(*words, host="first")
    until(lambda: list((image.work / "three.run").glob("journal-*.jsonl")), "the journal")
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
    [process] = until(lambda: children.read_text().split(), "process 1")
    second = image.start(*words, host="second")
    _, err = second.communicate()
    assert second.returncode == 2
    assert "three.parquet is in use by pid 1 on first" in err
    os.kill(int(process), signal.Signals[settings()["STOPSIGNAL"]])
    _, err = first.communicate()
    assert first.returncode == 143
    assert "SIGTERM: no new requests" in err
    third = image.start(*words[:-2], "--json", host="third")
    out, err = third.communicate()
    assert third.returncode == 0, err
    summary = json.loads(out)
    assert summary["rows"]["answered"] == 80
    assert 0 < summary["this_run"]["rows"] < 80
