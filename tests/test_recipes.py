"""docs/recipes.md: each recipe, run as it stands on the page."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from configparser import RawConfigParser
from fcntl import LOCK_EX, flock
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.servers import Mock, mock_thread
from tests.readme import files_of
from tests.reference import REPOSITORY

PAGE = (REPOSITORY / "docs/recipes.md").read_text()
FILES = files_of(PAGE)
TUESDAY = '{"id": "r4", "review": "Warm light."}\n{"id": "r5", "review": "Too dark & <small>."}\n'
FIGURE = re.compile(r"<?\$?\d+(\.\d+)?s?")


def blocks(section: str, language: str) -> list[str]:
    """The blocks of `language` under the heading `section`."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert text, section
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Home:
    """A home with `reviews/`, where the job, its environment and its key are as the page makes them."""

    def __init__(self, path: Path, mock: Mock) -> None:
        self.path, self.mock = path, mock
        self.reviews = path / "reviews"

    def environ(self, **more: str) -> dict[str, str]:
        """What cron gives a command."""
        return {"HOME": str(self.path), "PATH": "/usr/bin:/bin", "LOGNAME": "me", "SHELL": "/bin/sh", **more}

    def sh(self, script: str, folder: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=folder or self.reviews,
            env=self.environ(**more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def new(self, name: str, lines: str) -> None:
        (self.reviews / "new" / name).write_text(lines)

    def requests(self) -> int:
        return int(self.mock.stats()["requests"])

    def morning(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.reviews / "morning.json").read_text())
        return summary


OFFLINE = {  # pip installs the checkout without an index; its dependencies are those of the tests
    "PIP_NO_DEPS": "1",
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment, made by the page's own lines, once for all processes of the tests."""
    pytest.importorskip("hatchling")
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "recipes"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not (folder / "made").exists():
            make_environment(folder)
            (folder / "made").touch()
    return folder / "reviews/.venv"


def make_environment(folder: Path) -> None:
    (folder / "batchchat").symlink_to(REPOSITORY)
    reviews = folder / "reviews"
    reviews.mkdir()
    make, install = next(block for block in blocks("The job", "sh") if "venv" in block).splitlines()
    subprocess.run(["/bin/sh", "-c", make.replace("python3", sys.executable)], cwd=reviews, check=True)
    (packages,) = reviews.glob(".venv/lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "ours.pth").write_text("\n".join(ours))
    subprocess.run(
        ["/bin/sh", "-ec", install], cwd=reviews, env={**os.environ, **OFFLINE}, check=True, capture_output=True
    )


@pytest.fixture
def home(tmp_path: Path, environment: Path) -> Iterator[Home]:
    with mock_thread(latency_s=0.2, api_key="key-0123456789") as mock:
        home = Home(tmp_path, mock)
        (home.reviews / "new").mkdir(parents=True)
        for name, content in FILES.items():
            (home.reviews / name).write_text(content)
        (home.reviews / ".venv").symlink_to(environment)
        (key,) = (block for block in blocks("The job", "sh") if ".env" in block)
        assert home.sh(key, DEEPINFRA_TOKEN="key-0123456789").returncode == 0
        env_file = home.reviews / ".env"
        assert env_file.stat().st_mode & 0o77 == 0
        with env_file.open("a") as file:
            file.write(f"BASE_URL={mock.url}\n")
        yield home


def test_the_environment_is_of_the_checkout(environment: Path) -> None:
    """What is run here was installed by the page's lines."""
    shown = subprocess.run(
        [environment / "bin/batchchat", "--version"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert shown.stdout.startswith("batchchat")
    where = subprocess.check_output(
        [environment / "bin/python", "-c", "import batchchat; print(batchchat.__file__)"], cwd="/"
    )
    assert str(environment.resolve()) in where.decode()


def test_cron(home: Home) -> None:
    """Three nights: new rows alone are sent, the message tells of the night, and only what failed makes a mail."""
    (line,) = blocks("cron", "crontab")
    command = line.split(None, 5)[5]
    assert "%" not in command, "cron takes it for a line end"

    def night() -> subprocess.CompletedProcess[str]:
        return home.sh(command, home.path)

    first = night()
    assert (first.stdout, first.stderr, first.returncode) == ("", "", 0)
    assert (home.requests(), home.morning()["rows"]["answered"]) == (3, 3)
    home.new("tuesday.jsonl", TUESDAY)
    assert (night().stdout, home.requests()) == ("", 5)
    (shown,) = blocks("cron", "text")
    assert FIGURE.sub("#", home.morning()["text"]) == FIGURE.sub("#", shown.strip())
    assert (night().stdout, home.requests(), home.morning()["exit_code"]) == ("", 5, 0)
    home.new("wednesday.jsonl", '{"id": "r6"}\n')
    mail = night()
    assert (json.loads(mail.stdout.splitlines()[0])["rows"]["invalid"], home.requests()) == (1, 5)
    assert "key-0123456789" not in mail.stdout + (home.reviews / "night.log").read_text()


class Unit:
    """A service of systemd, as far as it says what is run and what is started again."""

    def __init__(self, text: str, home: Path) -> None:
        parser = RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text.replace("%h", str(home)))
        self.service = dict(parser["Service"])

    def restarts(self, status: int) -> bool:
        """Whether it is started again after its process ended with `status`, negative for a signal."""
        assert self.service["Restart"] == "on-failure"
        if status < 0:
            return -status not in {signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE}
        clean = {0, *map(int, self.service["SuccessExitStatus"].split())}
        return status not in clean | set(map(int, self.service["RestartPreventExitStatus"].split()))

    def start(self, environ: dict[str, str]) -> subprocess.Popen[bytes]:
        mode, _, path = self.service["StandardOutput"].partition(":")
        assert mode == "truncate"
        with Path(path).open("wb") as output:
            return subprocess.Popen(
                self.service["ExecStart"].split(),
                cwd=self.service["WorkingDirectory"],
                env=environ,
                stdout=output,
                stderr=subprocess.DEVNULL,
            )


def test_systemd(home: Home) -> None:
    """A killed run is started again and goes on; one that ended by itself is not, whatever its exit code."""
    unit = Unit(FILES["reviews.service"], home.path)
    home.new("many.jsonl", "".join(f'{{"id": "m{n}", "review": "Number {n}."}}\n' for n in range(20)))
    process = unit.start(home.environ())
    while home.requests() < 1:
        time.sleep(0.02)
    process.kill()
    assert unit.restarts(process.wait())
    process = unit.start(home.environ())
    assert (process.wait(), home.morning()["rows"]["answered"]) == (0, 23)
    assert home.requests() <= 23 + 23
    home.new("bad.jsonl", '{"id": "r6"}\n')
    for _ in range(2):  # now and for ever
        status = unit.start(home.environ()).wait()
        assert (status, unit.restarts(status)) == (3, False)
    (home.reviews / ".env").unlink()
    status = unit.start(home.environ()).wait()
    assert (status, unit.restarts(status)) == (2, False)
    assert not any(unit.restarts(code) for code in range(7))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(home: Home) -> None:
    """`systemd-analyze verify` finds nothing to say."""
    units = home.path / ".config/systemd/user"
    units.mkdir(parents=True)
    for name in ("reviews.service", "reviews.timer"):
        (units / name).write_text(FILES[name])
    environ = home.environ(XDG_RUNTIME_DIR=str(home.path), SYSTEMD_LOG_LEVEL="warning")
    paths = [str(units / name) for name in ("reviews.service", "reviews.timer")]
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", *paths], env=environ, capture_output=True, text=True, check=False
    )
    said = [line for line in verified.stderr.splitlines() if "reviews." in line]
    assert (verified.returncode, said) == (0, []), verified.stderr


class Slack:
    """A webhook on loopback."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                messages.append(body["text"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T0/B0/secret-part"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_slack(home: Home) -> None:
    """A message for a run, none for a no-op, one for a refusal; the address of the webhook is nowhere."""
    slack = Slack()
    try:
        (line,) = blocks("A message in Slack", "yaml")
        with (home.reviews / "reviews.yaml").open("a") as job:
            job.write(line)
        (key,) = blocks("A message in Slack", "sh")
        home.sh(key, SLACK_WEBHOOK=slack.url)
        run = ".venv/bin/batchchat run reviews.yaml --progress log"
        ended = [home.sh(run), home.sh(run)]
        assert [end.returncode for end in ended] == [0, 0], ended[0].stderr
        shutil.rmtree(home.reviews / "new")
        ended.append(home.sh(run))
        assert ended[2].returncode == 2
        done, refused = slack.messages
        assert done.startswith("reviews: 3 of 3 rows answered")
        assert refused.startswith(html.escape("reviews stopped", quote=False))
        assert "exit 2, next: batchchat run" in refused
        written = [path.read_bytes() for path in home.reviews.rglob("*") if path.is_file() and path.name != ".env"]
        assert not any(b"secret-part" in data for data in written)
        assert not any("secret-part" in end.stdout + end.stderr for end in ended)
    finally:
        slack.close()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make(home: Home) -> None:
    """Made once; made again only with new rows, of which alone requests are sent."""
    first = home.sh("make")
    assert first.returncode == 0, first.stderr
    assert (home.requests(), len((home.reviews / "stars.csv").read_text().splitlines())) == (3, 4)
    assert "up to date" in home.sh("make").stdout
    home.new("tuesday.jsonl", TUESDAY + '{"id": "r6"}\n')
    assert home.sh("make").returncode == 0, "exit code 3 counts as done"
    assert (home.requests(), "up to date" in home.sh("make").stdout) == (5, True)


def test_a_step_between_two_tables(home: Home) -> None:
    """New and changed reviews alone are paid for, and the table has the labels of all."""
    duckdb = pytest.importorskip("duckdb")
    database = str(home.reviews / "warehouse.duckdb")
    step = ".venv/bin/python step.py"

    def sql(*statements: str) -> Any:
        with duckdb.connect(database) as warehouse:
            for statement in statements:
                result = warehouse.sql(statement)
            return None if result is None else result.fetchall()

    sql("create table reviews (id varchar, review varchar)", "insert into reviews values ('a', 'Good.'), ('b', 'Bad.')")
    first = home.sh(step)
    assert first.returncode == 0, first.stderr
    assert home.requests() == 2
    sql("update reviews set review = 'Very bad.' where id = 'b'", "insert into reviews values ('c', 'So so.')")
    assert home.sh(step).returncode == 0
    assert home.requests() == 4
    assert [row for (row,) in sql("select id from labels where label <> '' order by id")] == ["a", "b", "c"]


def test_reading(home: Home) -> None:
    """Four libraries open the file and say the same."""
    for name in ("datasets", "duckdb", "pandas", "polars"):
        pytest.importorskip(name)
    assert home.sh(".venv/bin/batchchat run reviews.yaml --progress none").returncode == 0
    read = home.sh(".venv/bin/python read.py", HF_HUB_OFFLINE="1")
    assert read.returncode == 0, read.stderr
    assert ("r3" in read.stdout, "answered" in read.stdout, "num_rows: 3" in read.stdout) == (True, True, True)


def test_watching(home: Home) -> None:
    """The commands of the page, after a run."""
    assert home.sh(".venv/bin/batchchat run reviews.yaml --progress none").returncode == 0
    (commands,) = blocks("Watching a run", "sh")
    for command in commands.splitlines():
        shown = home.sh(f".venv/bin/{command}")
        assert (shown.returncode, "3" in shown.stdout) == (0, True), shown.stderr
