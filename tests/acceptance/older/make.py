"""Makes the runs of this folder with a checkout of an older version: `python -m tests.acceptance.older.make CHECKOUT`.

Each run is made by real processes of that version against a loopback server, which is their proxy, so that every run
has the same endpoint. Beside the job's folder, `reported/` keeps what that version itself said of the run: the figures,
the exports, and what it sent and paid when it resumed a copy.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.acceptance.job import conversation, until
from tests.acceptance.servers import Asked, Raw, completion, http, raw_server

__all__ = ["FIGURES", "RUNS", "OlderRun", "a_file", "answer_all", "books", "environ", "sent"]

OLDER = Path(__file__).parent
PLACE = Path("/tmp/batchchat-older")
"""Where the runs are made: the journal and `run.json` hold absolute paths. It is gone afterwards."""
PRICE = {"input": 1.0, "output": 2.0}
FIGURES = {
    "status.json": ["status", "job.yaml", "--json"],
    "report.json": ["report", "job.yaml", "--json"],
    "estimate.json": ["estimate", "job.yaml", "--json"],
    "export.jsonl": ["export", "job.yaml", "--to", "jsonl", "-o", "rows"],
    "export.csv": ["export", "job.yaml", "--to", "csv", "-o", "rows"],
}
"""What the older version was asked about each run, by the file in `reported/` that keeps its answer."""

Answer = Callable[[Asked], bytes | None]


def environ(server: Raw) -> dict[str, str]:
    """What makes requests to the jobs' endpoint go to `server`. A journal names its endpoint, so it has to be fixed."""
    return {"http_proxy": f"http://{server.host}"}


def sent(server: Raw) -> list[int]:
    """The numbers of the questions that the server was asked, sorted."""
    return sorted(question(request) for request in server.asked if request.body)


def books(folder: Path, run: OlderRun) -> dict[str, Any]:
    """Rows and money as `run.json` and the output's metadata have them, to the last digit."""
    state = json.loads((folder / run.run_folder / "run.json").read_bytes())
    metadata = json.loads(pq.read_schema(a_file(folder / run.output.name)).metadata[b"batchchat"])
    names = ("state", "rows", "cost_usd", "max_cost", "possibly_billed")
    return {**{name: state[name] for name in names}, "totals": metadata["totals"], "beside": metadata["beside"]}


def a_file(output: Path) -> Path:
    """The output, or its first part."""
    return min(output.iterdir()) if output.is_dir() else output


def question(request: Asked) -> int:
    """The number in `Question 7`."""
    return int(request.said.split()[1])


def answer(number: int, text: str | None = None, price_ratio: str = "1") -> bytes:
    """The reply to a question; each has usage and a cost of its own."""
    prompt, reply = 10 + number, 5 + number
    cost = (Decimal(prompt) + 2 * Decimal(reply)) * Decimal(price_ratio) / 1_000_000
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": reply,
        "total_tokens": prompt + reply,
        "estimated_cost": float(cost),
    }
    text = f"Answer {number}, a fresh start." if text is None else text
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "length" if number == 7 else "stop"}
    return http(200, completion(id=f"chatcmpl-{number}", choices=[choice], usage=usage))


def without_cost(number: int) -> bytes:
    """A reply without a reported cost."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return http(200, completion(f"Answer {number}.", usage=usage))


def broken_off(number: int) -> bytes:
    """A reply that ends in the middle: it may have been billed."""
    return answer(number)[:-20].replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)


def answer_all(request: Asked) -> bytes:
    """The answers to a resume: nothing fails."""
    return answer(question(request)) if request.body else NO_MODEL_LIST


class Troubled:
    """Answers with trouble: each number's replies in turn, the last for ever; None leaves the client waiting."""

    def __init__(self, replies: Mapping[int, list[bytes | None]], hang_from: int = 1000) -> None:
        self._replies = replies
        self._hang_from = hang_from
        self._attempts: Counter[int] = Counter()
        self._waiting: set[int] = set()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def __call__(self, request: Asked) -> bytes | None:
        if not request.body:
            return NO_MODEL_LIST
        number = question(request)
        with self._lock:
            attempt = self._attempts[number]
            self._attempts[number] += 1
            replies = self._replies.get(number, [None if number >= self._hang_from else answer(number)])
            reply = replies[min(attempt, len(replies) - 1)]
            if reply is None:
                self._waiting.add(number)
        return reply


NO_MODEL_LIST = http(404, {})
REFUSED = http(400, {"error": {"message": "Question is not allowed", "code": "bad"}})


def troubles(*, hang: bool) -> dict[int, list[bytes | None]]:
    """What goes wrong in a run; with `hang`, the second attempts at questions 4 and 5 are never answered."""
    return {
        1: [REFUSED],
        2: [broken_off(2), answer(2)],
        3: [answer(3, price_ratio="1.5")],
        4: [answer(4, ""), None if hang else answer(4)],
        5: [broken_off(5), None if hang else answer(5)],
        6: [answer(6, ""), http(503, b"", retry_after="0"), answer(6)],
    }


def plain_rows(count: int) -> list[Any]:
    return [{"id": f"r{n:02}", "messages": conversation(f"Question {n}")} for n in range(count)]


def rich_rows() -> list[Any]:
    """Rows with columns to carry, of types that widen, and rows that can't be sent."""
    rows = plain_rows(12)
    for number, row in enumerate(rows):
        row |= {"topic": f"t{number % 3}", "score": number if number % 2 else number / 4, "tags": [{"n": number}]}
    rows[8]["big"] = 2**70  # these two make records that orjson can't write
    rows[9]["messages"][0]["content"] += " \ud800"
    rows[10]["mixed"] = "text"
    rows[11]["mixed"] = 11
    invalid = ['{"id": "broken", ', {"id": "empty", "messages": [], "topic": "t9"}, {**rows[0], "topic": "again"}]
    return [*rows[:6], *invalid, *rows[6:]]


def parquet_rows(path: Path) -> None:
    """An input whose columns have types that JSON has not."""
    rows = plain_rows(10)
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    columns = {
        "id": pa.array([row["id"] for row in rows]),
        "messages": pa.array([row["messages"] for row in rows]),
        "at": pa.array([day + dt.timedelta(days=n) for n in range(10)], pa.timestamp("ms", "UTC")),
        "price": pa.array([Decimal(n) / 4 for n in range(10)], pa.decimal128(12, 2)),
        "kind": pa.array([f"k{n % 2}" for n in range(10)]).dictionary_encode(),
        "bytes": pa.array([bytes([n, 255]) for n in range(10)], pa.binary()),
    }
    pq.write_table(pa.table(columns), path)


@dataclass(frozen=True, slots=True)
class OlderRun:
    """How one run is made: its job's keys, its input, the server's answers, and how it ends.

    `kill_when_waiting` is how many requests the server has in hand when the process gets SIGKILL, after `rows` rows are
    in the journal. `resumes` are the arguments of runs that go on, each with a copy of its own.
    """

    name: str
    keys: Mapping[str, Any]
    replies: Mapping[int, list[bytes | None]] = field(default_factory=dict)
    rows: int = 0
    hang_from: int = 1000
    kill_when_waiting: int = 0
    arguments: tuple[str, ...] = ()
    code: int = 0
    resumes: tuple[tuple[str, ...], ...] = ((),)

    @property
    def folder(self) -> Path:
        """The job's folder, as the older version left it."""
        return OLDER / self.name / "job"

    @property
    def output(self) -> Path:
        """The output file or folder, in that folder."""
        return self.folder / ("answers" if self.name == "folder" else "out.parquet")

    @property
    def run_folder(self) -> str:
        """The name of the run folder beside the output."""
        return f"{self.output.stem}.run"

    @property
    def reported(self) -> Path:
        """What the older version said of it."""
        return OLDER / self.name / "reported"

    def write(self, folder: Path) -> None:
        """Write job and input."""
        tree = {
            "input": {"path": "in.parquet" if self.name == "folder" else "in.jsonl", "id": "id"},
            "model": "m",
            "endpoint": {"base_url": "http://endpoint.test/v1"},
            "output": {"path": "out.parquet"},
            "concurrency": 8,
            "params": {"max_tokens": 60},
            "retry": {"max_wait": 0.05},
            **self.keys,
        }
        (folder / "job.yaml").write_text(json.dumps(tree, indent=1) + "\n")
        if self.name == "folder":
            parquet_rows(folder / "in.parquet")
            return
        rows = rich_rows() if self.name == "finished" else plain_rows(16)
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (folder / "in.jsonl").write_text("".join(f"{line}\n" for line in lines))


BUDGET = {"price": PRICE, "budget": {"max_cost": 0.05}}
KILLED: dict[str, Any] = {"rows": 10, "hang_from": 12, "kill_when_waiting": 6, "code": -9}
"""Killed with questions 4, 5 and 12 to 15 in flight. Two of 8 permits stay free, so that all else is finished."""
RUNS = [
    OlderRun("finished", {}, troubles(hang=False), code=3, resumes=((), ("--retry-failed",))),
    OlderRun("killed-with-budget", BUDGET, troubles(hang=True), **KILLED),
    OlderRun(
        "killed-without-price",
        {},
        {**troubles(hang=True), 0: [without_cost(0)], 7: [without_cost(7)]},
        resumes=((), ("--max-cost", "0.05", "--set", "price.input=1", "--set", "price.output=2")),
        **KILLED,
    ),
    OlderRun("folder", {"output": {"path": "answers", "part_rows": 3}}, arguments=("--limit", "7")),
    OlderRun(
        "stopped-by-budget",
        {"price": PRICE, "budget": {"max_cost": 0.0011}},
        troubles(hang=False),
        code=4,
        resumes=((), ("--max-cost", "0.05")),
    ),
]


def command(checkout: Path, folder: Path, server: Raw, *arguments: str) -> subprocess.Popen[str]:
    """A process of the older version."""
    names = re.compile(r"(?i).*proxy|deepinfra_token|no_color|columns|ssl_cert_file|pythonwarnings|term")
    plain = {name: value for name, value in os.environ.items() if not names.fullmatch(name)}
    return subprocess.Popen(
        [sys.executable, "-m", "batchchat", *arguments],
        cwd=folder,
        env={**plain, "PYTHONPATH": str(checkout), "TERM": "xterm", **environ(server)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def play(run: OlderRun, checkout: Path, folder: Path, server: Raw) -> str:
    """Make the run; what it printed."""
    run.write(folder)
    server.answer = troubled = Troubled(run.replies, run.hang_from)
    process = command(checkout, folder, server, "run", "job.yaml", "--progress", "none", *run.arguments)
    if run.kill_when_waiting:
        journal = folder / "out.run" / "journal-000001.jsonl"
        until(lambda: troubled.waiting == run.kill_when_waiting, "the last request")
        until(lambda: journal.read_bytes().count(b'{"kind":"row"') == run.rows, "the last row")
        process.kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode == run.code, (process.returncode, out, err)
    return out + err


def keep_reported(run: OlderRun, checkout: Path, server: Raw, folder: Path) -> None:
    """Keep what the older version says of the run in `folder`, and of a copy that it resumes."""
    for name, arguments in FIGURES.items():
        process = command(checkout, folder, server, *arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, (arguments, out, err)
        exported = folder / "rows"
        (run.reported / name).write_bytes(exported.read_bytes() if "export" in arguments else out.encode())
        exported.unlink(missing_ok=True)
    resumed = []
    for resume_arguments in run.resumes:
        copy = folder.parent / "copy"
        shutil.copytree(folder, copy)
        server.answer = answer_all
        server.asked.clear()
        process = command(checkout, copy, server, "run", "job.yaml", "--progress", "none", *resume_arguments)
        process.communicate(timeout=60)
        report, _ = command(checkout, copy, server, *FIGURES["report.json"]).communicate(timeout=60)
        resumed.append(
            {
                "arguments": resume_arguments,
                "code": process.returncode,
                "sent": sent(server),
                "books": books(copy, run),
                "report": json.loads(report),
            }
        )
        shutil.rmtree(copy)
    (run.reported / "resumed.json").write_text(json.dumps(resumed, indent=1) + "\n")
    if run.output.exists():
        shutil.rmtree(folder / run.run_folder)
        out, _ = command(checkout, folder, server, "report", run.output.name, "--json").communicate(timeout=60)
        (run.reported / "report-without-run-folder.json").write_text(out)


def make(checkout: Path) -> None:
    """Make all runs."""
    for run in RUNS:
        shutil.rmtree(run.folder.parent, ignore_errors=True)
        run.reported.mkdir(parents=True)
        with raw_server(answer_all) as server:
            folder = PLACE / "job"
            folder.mkdir(parents=True)
            print(f"== {run.name}\n{play(run, checkout, folder, server)}")
            shutil.copytree(folder, run.folder)
            keep_reported(run, checkout, server, folder)
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
