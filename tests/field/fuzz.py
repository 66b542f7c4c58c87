"""Random runs against a provider that keeps its own books, and what must be true after each of them.

A `Provider` answers rows whose text is `<id> v<version>`, fails at random, and notes what it billed. A `Customer` has a
job there: it runs, kills, edits the input, resends and raises the cap, and after each step compares the output, the
report, the status and the summary with the provider's books.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq

from tests.acceptance.job import Ended, Job, conversation, until
from tests.acceptance.servers import http
from tests.field.endpoint import Asked, End, Endpoint, Step, error, ok

__all__ = ["Customer", "Provider"]

CONCURRENCY, MAX_TOKENS, MAX_POSSIBLY_BILLED, MAX_ATTEMPTS = 6, 50, 3, 5
PROMPT_TOKENS, INPUT_USD, OUTPUT_USD = 10, Decimal("0.5"), Decimal("1.5")
MILLION = Decimal(1_000_000)
DEAREST_USD = (PROMPT_TOKENS * INPUT_USD + MAX_TOKENS * OUTPUT_USD) / MILLION

EXIT_CODES = {0, 2, 3, 4, 5, 129, 130, 143}


@dataclass(frozen=True, slots=True)
class Served:
    """One request that was billed, or whose client can't know: `answered` where a whole answer was written."""

    text: str
    usd: Decimal
    answered: bool
    at: float


@dataclass
class Provider:
    """Answers with random faults of a seed; `served` is what it billed, `open` what it works at."""

    random: random.Random
    reports_cost: bool
    served: list[Served] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    attempts_billed: Counter[str] = field(default_factory=Counter)
    calm: bool = False

    @property
    def billed_usd(self) -> Decimal:
        return sum((one.usd for one in self.served), Decimal(0))

    def answer(self, asked: Asked) -> Step | list[Step]:
        """What a request is answered, and for what money."""
        text = asked.text
        self.asked[text] += 1
        number = int(text[1:5])
        dice = self.random
        delay = dice.random() * 0.03
        if number % 23 == 7:
            return [delay, error(400, f"Unsupported value {number}", type="invalid_request_error")]
        if number % 31 == 5:
            return [delay, error(429, "Not now")]
        if number % 37 == 11:
            return [delay, self._bill(asked, ok("", finish_reason="content_filter", **self._usage(3)), 3, whole=True)]
        draw = 1.0 if self.calm else dice.random()
        steps = self._fault(asked, draw)
        if steps is None:
            tokens = MAX_TOKENS if draw < 0.2 else 1 + number % MAX_TOKENS
            reason = "length" if draw < 0.2 else "stop"
            reply = ok(f"{text} #{asked.number}", finish_reason=reason, **self._usage(tokens))
            steps = [self._bill(asked, reply, tokens, whole=True)]
        return [delay, *steps]

    def _fault(self, asked: Asked, draw: float) -> list[Step] | None:
        if draw < 0.04:
            return [error(429, "Slow down", headers={"retry_after": "0"} if draw < 0.02 else None)]
        if draw < 0.06:
            return [error(503, "Overloaded")]
        if draw < 0.08:
            return [error(500, "Something broke")]
        if draw < 0.09:
            return [End.RESET]
        if draw < 0.10:  # a whole answer that is cut off on its way: billed, and the client can't know
            whole = self._bill(asked, ok(f"{asked.text} #{asked.number}", **self._usage(20)), 20, whole=False)
            return [whole[: len(whole) - 30], End.CLOSE]
        if draw < 0.11:
            return [http(502, b"<html>bad gateway</html>", content_type="text/html")]
        if draw < 0.12:
            return [self._bill(asked, ok("", **self._usage(5)), 5, whole=True)]
        if draw < 0.13:
            return [self._bill(asked, http(200, b'{"choices": [{"mes'), 4, whole=False)]
        return None

    def _usd(self, tokens: int) -> Decimal:
        return (PROMPT_TOKENS * INPUT_USD + tokens * OUTPUT_USD) / MILLION

    def _usage(self, tokens: int) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": tokens,
            "total_tokens": PROMPT_TOKENS + tokens,
        }
        if self.reports_cost:
            usage["estimated_cost"] = float(self._usd(tokens))
        return {"usage": usage}

    def _bill(self, asked: Asked, response: bytes, tokens: int, *, whole: bool) -> bytes:
        answered = whole and b"#" in response
        self.attempts_billed[asked.text] += 1
        self.served.append(Served(asked.text, self._usd(tokens), answered, time.monotonic()))
        return response


class Customer:
    """A job at the provider, and what is known of it: `answers` by row id, as the output last showed them."""

    def __init__(self, job: Job, server: Endpoint, provider: Provider, dice: random.Random) -> None:
        self.job = job
        self.server = server
        self.provider = provider
        self.dice = dice
        self.texts = {f"r{number:04}": f"r{number:04} v1" for number in range(dice.randint(15, 40))}
        self.answers: dict[str, str] = {}
        self.kills = 0
        self.at_risk = 0
        self.resent: Counter[str] = Counter()
        self.cap: Decimal | None = None
        self.paid = Decimal(0)
        self.shift = 0
        self.fresh_from = 0
        self.log: list[str] = []
        keys: dict[str, Any] = {
            "endpoint__base_url": server.url,
            "concurrency": CONCURRENCY,
            "params.max_tokens": MAX_TOKENS,
            "price": {"input": float(INPUT_USD), "output": float(OUTPUT_USD)},
            "retry": {
                "max_wait": 0.05,
                "max_attempts": MAX_ATTEMPTS,
                "max_possibly_billed": MAX_POSSIBLY_BILLED,
                "max_outage": 4,  # a row that is always refused waits for it where nothing else is left to send
            },
            "output.path": dice.choice(["out.parquet", "out"]),
        }
        job.write([], **keys)
        if job.keys["output.path"] == "out":
            job.output = job.folder / "out"
        self._write_input()

    # What a customer does

    def step(self) -> None:
        """Do something at random, and look at everything."""
        actions: list[Callable[[], object]] = [
            self.run,
            self.run,
            self.kill,
            self.kill,
            self.terminate,
            self.limit,
            self.resend_failed,
            self.resend_cut_off,
            self.fresh,
            self.add_rows,
            self.remove_rows,
            self.change_rows,
            self.budget,
            self.resend_listed,
            self.leave_changed_rows_undecided,
            self.rename_ids,
            self.mend_carried_column,
            self.other_concurrency,
            self.kill_twice,
            self.move,
        ]
        action = self.dice.choice(actions)
        self.log.append(action.__name__)
        action()
        self.check()

    def run(self, *arguments: str) -> Ended:
        ended = self._run(*arguments)
        if ended.code in {0, 3} and "--limit" not in arguments:
            self._check_finished(ended)
        return ended

    def _run(self, *arguments: str) -> Ended:
        ended = self.job.run("--progress", "none", "--json", *arguments)
        self.log.append(f"  {arguments} exit {ended.code}")
        assert ended.code in EXIT_CODES, ended.err
        assert "defect" not in ended.err, ended.err
        if ended.code in {0, 3, 4, 5}:
            self._check_summary(json.loads(ended.out), ended.code)
        return ended

    def kill_twice(self) -> None:
        """The second time before the first kill was noticed by any other command."""
        self.kill()
        self.kill()

    def move(self) -> None:
        """The job is moved with its run folder, under another name of the folder."""
        before, after = self.job.folder, self.job.folder.with_name(f"{self.job.folder.name}-moved")
        before.rename(after)
        self.job.folder = after
        for name in ("file", "input", "output", "run_folder", "journal_file"):
            setattr(self.job, name, after / getattr(self.job, name).relative_to(before))
        self.run()

    def other_concurrency(self) -> None:
        self.run("--concurrency", str(self.dice.randint(1, CONCURRENCY)))

    def kill(self) -> None:
        self._stopped_by(signal.SIGKILL)
        self.kills += 1
        self.at_risk += 3 * CONCURRENCY

    def terminate(self) -> None:
        ended = self._stopped_by(signal.SIGTERM)
        assert ended.code in {0, 3, 4, 143}, ended.err

    def _stopped_by(self, number: signal.Signals) -> Ended:
        before = len(self.server.asked)
        running = self.job.start("--progress", "none")
        wanted = before + self.dice.randint(1, 40)
        until(lambda: len(self.server.asked) >= wanted or running.process.poll() is not None)
        time.sleep(self.dice.random() * 0.05)
        running.signal(number)
        ended = running.end()
        self.log.append(f"  exit {ended.code}")
        assert "defect" not in ended.err, ended.err
        return ended

    def limit(self) -> None:
        limit = self.dice.randint(1, 10)
        before = Counter(self.provider.asked)
        self.run("--limit", str(limit))
        sent = sum(1 for text, count in self.provider.asked.items() if count > before[text])
        assert sent <= limit, f"--limit {limit} sent {sent} rows"

    def resend_failed(self) -> None:
        self._resend("failed", lambda row: row["status"] == "failed")

    def resend_cut_off(self) -> None:
        self._resend("cut-off", lambda row: row["finish_reason"] == "length" and row["status"] == "answered")

    def resend_listed(self) -> None:
        """Rows by a file of ids, answered or failed; one of the ids is in no input."""
        ids = set(self.dice.sample(sorted(self.texts), 3))
        (self.job.folder / "ids.txt").write_text("".join(f"{id_}\n" for id_ in [*sorted(ids), "nobody"]))
        self._resend("@ids.txt", lambda row: row["id"] in ids)

    def leave_changed_rows_undecided(self) -> None:
        """Off a terminal changed rows keep their answers, and the run ends with 3; then the user says keep, and resend.

        Meanwhile nothing is sent for them.
        """
        answered = sorted(id_ for id_ in self.texts if id_ in self.answers)
        changed = self.dice.sample(answered, min(2, len(answered)))
        if not changed:
            return
        for id_ in changed:
            self.texts[id_] = self._next_version(id_)
        self._write_input()
        for arguments in ((), ("--keep-changed",)):
            ended = self._run(*arguments)
            if ended.code in {0, 3}:
                counts = json.loads(ended.out)["rows"]
                assert counts["undecided"] == (0 if arguments else len(changed)), counts
                assert arguments or ended.code == 3
            now = {row["id"]: row["response"] for row in self.exported()}
            for id_ in changed:
                assert now[id_] == self.answers[id_], f"{id_} has lost its answer"
                assert not self.provider.asked[self.texts[id_]], f"{id_} was sent"
        for id_ in changed:
            del self.answers[id_]
        self.run("--resend", "changed")

    def rename_ids(self) -> None:
        """The same requests under new ids: their answers are taken over, and nothing is paid again."""
        rows = {row["id"]: row["status"] for row in self.exported()}
        for id_ in self.dice.sample(sorted(self.texts), 4):
            text, new = self.texts.pop(id_), f"{id_}x"
            self.texts[new] = text
            if id_ in self.answers:
                self.answers[new] = self.answers.pop(id_)
            elif rows.get(id_) == "failed":
                self.resent[text] += 1
        self._write_input()
        self.run()

    def mend_carried_column(self) -> None:
        """A column that goes to the output has other values: no row is sent for it."""
        self.shift += 1000
        self._write_input()
        self.run()

    def _next_version(self, id_: str) -> str:
        start, _, version = self.texts[id_].rpartition("v")
        return f"{start}v{int(version) + 1}"

    def _resend(self, what: str, chosen: Any) -> None:
        rows = self.exported()
        ids = {row["id"] for row in rows if chosen(row)}
        self.resent.update(self.texts[id_] for id_ in ids if id_ in self.texts)
        for id_ in ids:
            self.answers.pop(id_, None)
        self.run("--resend", what)

    def fresh(self) -> None:
        before = len(self.provider.served)
        self.answers.clear()
        self.fresh_from, self.kills, self.at_risk, self.paid = before, 0, 0, Decimal(0)
        self.resent.clear()
        self.run("--fresh")

    def add_rows(self) -> None:
        start = 100 + len(self.texts) + self.dice.randint(0, 3000)
        for number in range(start, start + self.dice.randint(1, 8)):
            self.texts.setdefault(f"r{number % 10000:04}", f"r{number % 10000:04} v1")
        self._write_input()
        self.run()

    def remove_rows(self) -> None:
        for id_ in self.dice.sample(sorted(self.texts), min(3, len(self.texts) - 5)):
            del self.texts[id_]
            self.answers.pop(id_, None)
        self._write_input()
        self.run()

    def change_rows(self) -> None:
        for id_ in self.dice.sample(sorted(self.texts), 2):
            self.texts[id_] = self._next_version(id_)
            self.answers.pop(id_, None)
        self._write_input()
        self.run("--resend", "changed")

    def budget(self) -> None:
        paid = self._billed_usd
        self.cap = paid + DEAREST_USD * self.dice.randint(8, 40) + DEAREST_USD * self.at_risk
        ended = self.run("--max-cost", f"{self.cap:f}")
        assert self._billed_usd <= self.cap, f"{self._billed_usd} was billed under a cap of {self.cap}"
        assert ended.code in {0, 2, 3, 4, 5}, ended.err

    # What must be true

    def check(self) -> None:
        """Compare the output, the report and the status with the provider's books."""
        rows = self.exported()
        by_id = {row["id"]: row for row in rows}
        assert len(by_id) == len(rows), "an id twice"
        answered = {row["id"]: row["response"] for row in rows if row["status"] == "answered"}
        for id_, response in self.answers.items():
            assert answered.get(id_) == response, f"{id_}: {response!r} is lost, {answered.get(id_)!r} instead"
        for id_, response in answered.items():
            number = id_.rstrip("x")
            assert response.startswith(number), f"{id_} has the answer {response!r} of another row"
        self.answers = {id_: response for id_, response in answered.items() if id_ in self.texts}
        self._check_paid_twice()
        self._check_attempts(rows)
        self._check_sums(rows)

    def _check_paid_twice(self) -> None:
        answers = Counter(one.text for one in self.provider.served[self.fresh_from :] if one.answered)
        twice = {text: count - 1 - self.resent[text] for text, count in answers.items()}
        extra = sum(count for count in twice.values() if count > 0)
        assert extra <= self.at_risk, f"{extra} answers were paid twice: {twice}"

    def _check_attempts(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            again = self.resent[self.texts.get(row["id"], "")]
            assert (row["possibly_billed_attempts"] or 0) <= MAX_POSSIBLY_BILLED * (1 + again), row
        # By the provider's own count: what may have been billed, but for what was in flight at a kill.
        billed = Counter(one.text for one in self.provider.served[self.fresh_from :])
        for text, count in billed.items():
            allowed = MAX_POSSIBLY_BILLED * (1 + self.resent[text]) + self.kills
            assert count <= allowed, f"{text} was billed {count} times"

    def _check_sums(self, rows: list[dict[str, Any]]) -> None:
        report = self._json("report", self._job_file, "--json")["outputs"][0]
        counts = report["rows"]
        statuses = Counter(row["status"] for row in rows)
        for status in ("answered", "failed", "invalid"):
            assert counts[status] == statuses[status], (counts, statuses)
        total = counts["total"]
        if total is not None:
            assert counts["answered"] + counts["failed"] + counts["invalid"] + counts["left"] == total, counts
        cut_off = sum(row["finish_reason"] == "length" and row["status"] == "answered" for row in rows)
        assert counts["cut_off"] == cut_off
        known = usd(report["cost_usd"]["known"])
        assert known == sum((usd(row["cost_usd"]) for row in rows), Decimal(0)), "the rows cost what the report says"
        paid = known + usd(report["cost_usd"]["superseded"]) + usd(report["cost_usd"]["pending"])
        uncertain = usd(report["cost_usd"]["possibly_billed"])
        billed = self._billed_usd
        # What is known was billed; what was billed is known, or inside what is told as uncertain.
        assert paid <= billed <= paid + uncertain, f"{billed} was billed, {paid} is told ({report['cost_usd']})"
        self._check_never_falls(paid)
        counts_of_status = self._json("status", self._job_file, "--json")["rows"]
        for name in ("answered", "failed", "invalid"):
            assert counts_of_status[name] == counts[name], (counts_of_status, counts)

    def _check_summary(self, summary: dict[str, Any], code: int) -> None:
        """The summary's money is the provider's, and never falls; its code is that of its rows."""
        counts, cost = summary["rows"], summary["cost_usd"]
        left = sum(counts[name] or 0 for name in ("answered", "failed", "invalid", "left"))
        assert counts["total"] in {None, left}, counts
        if code in {0, 3}:
            blemished = counts["failed"] or counts["invalid"] or counts["undecided"]
            assert code == (3 if blemished else 0), counts
        paid, uncertain = usd(cost["known"]), usd(cost["possibly_billed_at_most"])
        billed = self._billed_usd
        assert paid <= billed <= paid + uncertain, f"{billed} was billed, the summary tells {cost}"
        self._check_never_falls(paid)

    def _check_never_falls(self, paid: Decimal) -> None:
        assert paid >= self.paid, f"{self.paid} was told to be paid before, and now {paid}"
        self.paid = paid

    def _check_finished(self, ended: Ended) -> None:
        table = self._published()
        assert {row["id"] for row in table} == set(self.texts), "a row is missing"
        for row in table:
            if row["status"] == "answered":
                assert row["response"].startswith(self.texts[row["id"]]), row["response"]
            else:
                assert row["error_kind"], row
            assert row["n"] == int(self.texts[row["id"]][1:5]) + self.shift, "the column is not the input's"
        assert ended.code == (0 if all(row["status"] == "answered" for row in table) else 3)

    # How it is seen

    @property
    def _job_file(self) -> str:
        return "job.yaml"

    @property
    def _billed_usd(self) -> Decimal:
        return sum((one.usd for one in self.provider.served[self.fresh_from :]), Decimal(0))

    def exported(self) -> list[dict[str, Any]]:
        """The rows there are, by `export`."""
        path = self.job.folder / "export.parquet"
        path.unlink(missing_ok=True)
        ended = self.job.run("export", self._job_file, "-o", str(path))
        if ended.code == 2:  # no run yet, or no row
            return []
        assert ended.code == 0, ended.err
        return rows_of(path)

    def _published(self) -> list[dict[str, Any]]:
        return rows_of(self.job.output)

    def _json(self, *arguments: str) -> dict[str, Any]:
        ended = self.job.run(*arguments)
        assert ended.code == 0, ended.err
        found: dict[str, Any] = json.loads(ended.out)
        return found

    def _write_input(self) -> None:
        self.job.write(
            [
                {"id": id_, "messages": conversation(text), "n": int(text[1:5]) + self.shift}
                for id_, text in self.texts.items()
            ]
        )


def rows_of(path: Any) -> list[dict[str, Any]]:
    """The rows of a Parquet file or folder."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def usd(value: Any) -> Decimal:
    """A figure of JSON or Parquet as it was written; null is 0."""
    return Decimal(0) if value is None else Decimal(repr(value)) if isinstance(value, float) else Decimal(str(value))
