"""Random runs of jobs with turns, schemas, re-asks, streams, samples, a matrix and equal requests, and kills.

A `Bookkeeper` is an endpoint that keeps its own books. A `Generator` has a job there whose shape it draws and edits.
What must be true after each of its steps is read from the journal, the output and what the commands print.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Any

from tests.acceptance.job import Ended, Job, until
from tests.acceptance.servers import completion, http
from tests.field.endpoint import Asked, End, Endpoint, Step, error
from tests.field.fuzz import EXIT_CODES, MILLION, rows_of, usd

__all__ = ["Bookkeeper", "Generator", "check_order"]

CONCURRENCY, MAX_TOKENS = 5, 40
INPUT_USD, OUTPUT_USD = Decimal("0.5"), Decimal("1.5")
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "word": {"type": "string"}},
    "required": ["n"],
    "additionalProperties": False,
}
_SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

Key = tuple[str, str, int]


@dataclass
class Bookkeeper:
    """Answers with faults of a seed. `billed` is what each billed request cost, `whole` the ids of whole replies."""

    dice: random.Random
    reports_cost: bool
    refuses_format: float = 0.0
    calm: bool = False
    billed: list[Decimal] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)
    maybe: Counter[str] = field(default_factory=Counter)
    """By request, how often it was billed and the client can't know it."""
    sent: Counter[str] = field(default_factory=Counter)

    def answer(self, asked: Asked) -> Step | list[Step]:
        """What a request is answered."""
        dice, body = self.dice, asked.body
        request = json.dumps([body["model"], body["messages"], body.get("temperature")])
        self.sent[request] += 1
        delay = dice.random() * 0.03
        form = (body.get("response_format") or {}).get("type")
        if form and form != "text" and dice.random() < self.refuses_format:
            return [delay, error(400, f"'response_format' of type '{form}' is not supported", param="response_format")]
        draw = 1.0 if self.calm else dice.random()
        if draw < 0.03:
            return [delay, error(429, "Slow down", headers={"retry_after": "0"})]
        if draw < 0.06:
            return [delay, error(503, "Overloaded")]
        if draw < 0.07:
            return [delay, End.RESET]
        if draw < 0.075:
            return [delay, error(400, "Unsupported value", type="invalid_request_error")]
        whole = self._reply(asked, draw)
        if draw < 0.12:  # cut off on its way
            self.maybe[request] += 1
            self._bill(whole)
            stream = self._wire(body, whole)
            return [delay, stream[: len(stream) * 3 // 4], End.CLOSE]
        if draw < 0.13:
            self.maybe[request] += 1
            self._bill(whole)
            return [delay, http(200, b'{"choices": [{"mes')]
        self._bill(whole)
        if draw >= 0.15:
            self.whole.add(whole["id"])
        return [delay, self._wire(body, whole), *([End.CLOSE] if body.get("stream") else [])]

    def _reply(self, asked: Asked, draw: float) -> dict[str, Any]:
        dice, body = self.dice, asked.body
        tokens = dice.randint(1, MAX_TOKENS)
        prompt = max(1, len(json.dumps(body["messages"])) // 8)
        text, reason = self._text(asked), "stop"
        if draw < 0.14:
            text, reason, tokens = "", "content_filter", 2
        elif draw < 0.15:
            text, tokens = "", 2
        elif draw < 0.2:
            reason, tokens = "length", MAX_TOKENS
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt + tokens,
        }
        if self.reports_cost:
            usage["estimated_cost"] = float((prompt * INPUT_USD + tokens * OUTPUT_USD) / MILLION)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        reply: dict[str, Any] = completion(choices=[choice], usage=usage, model=body["model"])
        return {**reply, "id": f"c{asked.number}"}

    def _text(self, asked: Asked) -> str:
        number = asked.number
        good = json.dumps({"n": number, "word": "ab"})
        if self.calm:
            return good
        return self.dice.choice(
            [good, good, good, f"Sure!\n```json\n{good}\n```", '{"n": "no"}', '{"word": 1}', good[:-1], "no JSON here"]
        )

    def _bill(self, whole: dict[str, Any]) -> None:
        usage = whole["usage"]
        self.billed.append((usage["prompt_tokens"] * INPUT_USD + usage["completion_tokens"] * OUTPUT_USD) / MILLION)

    def _wire(self, body: dict[str, Any], whole: dict[str, Any]) -> bytes:
        if not body.get("stream"):
            return http(200, whole)
        choice = whole["choices"][0]
        head = {"id": whole["id"], "object": "chat.completion.chunk", "model": whole["model"]}
        text = choice["message"]["content"]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": text[at : at + 7]} for at in range(0, len(text), 7)]
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks += [{**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}]
        chunks += [{**head, "choices": [], "usage": whole["usage"]}]
        return _SSE + b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


@dataclass
class _Row:
    """An input row: its turns, and a column that is copied to the output."""

    turns: list[str]
    column: int = 0


class Generator:
    """A job of a shape of its own, edited, killed and resumed."""

    def __init__(self, job: Job, server: Endpoint, books: Bookkeeper, dice: random.Random) -> None:
        self.job, self.server, self.books, self.dice = job, server, books, dice
        self.kills = 0
        self.resends = 0
        self.paid = Decimal(0)
        self.log: list[str] = []
        self.turns = dice.random() < 0.4
        self.rows = {f"r{number:03}": _Row(self._new_turns()) for number in range(dice.randint(4, 14))}
        self.max_attempts, self.max_possibly_billed = dice.randint(1, 3), dice.randint(1, 2)
        self.samples = dice.choice([1, 1, 2, 3])
        self.models: list[str] = dice.choice([["m"], ["m"], ["m1", "m2"]])
        self.temperatures: list[float] = dice.choice([[0.5], [0.5], [0, 1]])
        self.schema: dict[str, Any] | None = SCHEMA if dice.random() < 0.6 else None
        self.re_ask = dice.choice([0, 1, 2])
        self.form = "auto"
        self.stream = dice.random() < 0.5
        self.dedupe: Any = dice.choice(["auto", True, False])
        self.write()

    def _new_turns(self) -> list[str]:
        count = self.dice.randint(1, 3) if self.turns else 1
        return [f"Question {self.dice.randint(1, 8)}" for _ in range(count)]

    def write(self) -> None:
        """Write input and job."""
        rows = [
            {
                "id": id_,
                ("turns" if self.turns else "prompt"): row.turns if self.turns else row.turns[0],
                "n": row.column,
            }
            for id_, row in self.rows.items()
        ]
        matrix: dict[str, Any] = {}
        if self.models != ["m"]:
            matrix["model"] = self.models
        if len(self.temperatures) > 1:
            matrix["params.temperature"] = self.temperatures
        expect = None
        if self.schema is not None:
            expect = {"json_schema": self.schema, "re_ask": self.re_ask, "response_format": self.form}
        host = self.server.url.split("/")[2].split(":")[0]
        (self.job.folder / "prices.csv").write_text(
            "model,host,input,output,cached_input,context_length,source,as_of\n"
            + "".join(
                f"{model},{host},{INPUT_USD},{OUTPUT_USD},,,fuzz,2026-11-01\n" for model in ("m", "m1", "m2", "m3")
            )
        )
        self.job.write(
            rows,
            **{
                "input.format": "turns" if self.turns else "prompt",
                "input.column": "turns" if self.turns else "prompt",
                "endpoint.base_url": self.server.url,
                "endpoint.stream": self.stream,
                "concurrency": CONCURRENCY,
                "params": {"max_tokens": MAX_TOKENS, "temperature": self.temperatures[0]},
                "prices": "prices.csv",
                "retry": {
                    "max_wait": 0.05,
                    "max_attempts": self.max_attempts,
                    "max_possibly_billed": self.max_possibly_billed,
                    "max_outage": 4,
                    "stop_after_failures": 500,
                },
                "samples": self.samples,
                "matrix": matrix or None,
                "expect": expect,
                "dedupe": self.dedupe,
            },
        )

    @property
    def keys(self) -> set[Key]:
        """The rows that the output must have."""
        names = []
        for model, temperature in product(self.models, self.temperatures):
            parts = [f"model={model}"] * (self.models != ["m"])
            parts += [f"temperature={temperature}"] * (len(self.temperatures) > 1)
            names.append(",".join(parts))
        return {(id_, name, sample) for id_ in self.rows for name in names for sample in range(self.samples)}

    # What is done

    def step(self) -> None:
        """Do something at random, and look at everything."""
        names = ["run", "kill", "kill", "terminate", "limit", "resend", "resend_listed", "budget", "budget"]
        names += ["edit_texts", "undecided", "add_rows", "remove_rows", "rename", "columns", "edit_both", "widen"]
        names += ["narrow", "harmless", "schema_changed", "kill_then_budget", "edit_and_kill"]
        name = self.dice.choice(names)
        self.log.append(name)
        getattr(self, name)()
        self.check()

    def run(self, *arguments: str) -> Ended:
        """Run it; what is printed must agree."""
        if "--resend" in arguments:
            self.resends += 1
        ended = self.job.run("--progress", "none", "--json", *arguments)
        self.log.append(f"  {arguments} exit {ended.code}; {len(self.server.asked)} asked")
        assert ended.code in EXIT_CODES, ended.err
        assert "defect" not in ended.err, ended.err
        if ended.code in {0, 3, 4, 5}:
            summary = json.loads(ended.out)
            self._check_summary(summary, ended)
            if ended.code in {0, 3} and "--limit" not in arguments:
                self._check_finished(ended, summary["rows"])
        return ended

    def _stopped(self, number: signal.Signals, *arguments: str) -> None:
        before = len(self.server.asked)
        if "--resend" in arguments:
            self.resends += 1
        running = self.job.start("--progress", "none", *arguments)
        wanted = before + self.dice.randint(1, 40)
        until(lambda: len(self.server.asked) >= wanted or running.process.poll() is not None)
        time.sleep(self.dice.random() * 0.05)
        running.signal(number)
        ended = running.end()
        self.log.append(f"  {arguments} {number.name} exit {ended.code}")
        assert "defect" not in ended.err, ended.err
        if number == signal.SIGKILL:
            self.kills += 1
        else:
            assert ended.code in {0, 2, 3, 4, 5, 143}, ended.err

    def kill(self, *arguments: str) -> None:
        self._stopped(signal.SIGKILL, *arguments)

    def terminate(self) -> None:
        self._stopped(signal.SIGTERM)

    def limit(self) -> None:
        self.run("--limit", str(self.dice.randint(1, 6)))

    def resend(self) -> None:
        what = self.dice.choice(["failed", "failed", "turn_failed", "schema", "cut-off", "changed"])
        if self.dice.random() < 0.4:
            self.kill("--resend", what)
        self.run("--resend", what)

    def resend_listed(self) -> None:
        ids = self.dice.sample(sorted(self.rows), min(2, len(self.rows)))
        (self.job.folder / "ids.txt").write_text("".join(f"{id_}\n" for id_ in ids))
        self.run("--resend", "@ids.txt")

    def budget(self) -> None:
        """What the provider billed is within the cap, and a raised cap goes on."""
        cap = self.billed_usd + self._at_risk_usd() + self._dearest * self.dice.randint(1, 30)
        for factor in (1, 2, 10):
            ended = self.run("--max-cost", f"{cap * factor:f}")
            assert self.billed_usd <= cap * factor, f"{self.billed_usd} was billed under a cap of {cap * factor}"
            if ended.code != 4:
                break

    def kill_then_budget(self) -> None:
        cap = self.billed_usd + self._at_risk_usd() + self._dearest * self.dice.randint(5, 40)
        for _ in range(2):
            self.kill("--max-cost", f"{cap:f}")
            assert self.billed_usd <= cap, f"{self.billed_usd} was billed under a cap of {cap}"
        self.run("--max-cost", f"{cap:f}")
        assert self.billed_usd <= cap, f"{self.billed_usd} was billed under a cap of {cap}"

    def _edit(self, *, column: bool = False) -> list[str]:
        ids = self.dice.sample(sorted(self.rows), min(2, len(self.rows)))
        for id_ in ids:
            self.rows[id_] = _Row(self._new_turns(), self.rows[id_].column + column)
        self.write()
        return ids

    def edit_texts(self) -> None:
        self._edit()
        self.run("--resend", "changed")

    def edit_both(self) -> None:
        self._edit(column=True)
        self.run("--resend", "changed")

    def edit_and_kill(self) -> None:
        self._edit(column=True)
        self.kill("--resend", "changed")
        self.run("--resend", "changed")

    def undecided(self) -> None:
        self._edit()
        self.run()
        self.run("--keep-changed")
        self.run("--resend", "changed")

    def add_rows(self) -> None:
        new = {f"r{self.dice.randint(100, 999)}": _Row(self._new_turns()) for _ in range(3)}
        self.rows = {**new, **self.rows} if self.dice.random() < 0.5 else {**self.rows, **new}
        self.write()
        self.run()

    def remove_rows(self) -> None:
        for id_ in self.dice.sample(sorted(self.rows), min(2, len(self.rows) - 2)):
            del self.rows[id_]
        self.write()
        self.run()

    def rename(self) -> None:
        for id_ in self.dice.sample(sorted(self.rows), 2):
            self.rows[f"{id_}x"] = self.rows.pop(id_)
        self.write()
        self.run()

    def columns(self) -> None:
        for row in self.rows.values():
            row.column += 1
        self.write()
        self.run()

    def widen(self) -> None:
        if self.dice.random() < 0.5:
            self.samples += self.samples < 4
        elif self.models != ["m"] and len(self.models) < 3:
            self.models = [*self.models, "m3"]
        elif len(self.temperatures) > 1:
            self.temperatures = [*self.temperatures, 0.7][:3]
        self.write()
        self.run()

    def narrow(self) -> None:
        if self.samples > 1:
            self.samples -= 1
        elif len(self.models) > 1:
            self.models = self.models[1:]
        self.write()
        self.run()

    def harmless(self) -> None:
        """What changes no request that is answered: with no failed row nothing is sent."""
        first = self.run()
        before = len(self.server.asked)
        match self.dice.randint(0, 3):
            case 0:
                self.stream = not self.stream
            case 1:
                self.re_ask = (self.re_ask + 1) % 3
            case 2:
                self.form = self.dice.choice(["auto", "json_schema", "json_object", "none"])
            case _:
                self.dedupe = self.dice.choice(["auto", True, False])
        self.write()
        self.run()
        if first.code in {0, 3}:
            assert len(self.server.asked) == before, "rows were sent again"

    def schema_changed(self) -> None:
        """It must be asked about, and nothing answered is sent before it was."""
        if self.schema is None:
            return
        first = self.run()
        answered = {key_of(row) for row in self.exported() if row["status"] == "answered"}
        self.schema = {**SCHEMA, "description": f"{self.dice.random()}"}
        self.write()
        ended = self.run()
        if first.code in {0, 3} and ended.code in {0, 3}:
            assert json.loads(ended.out)["rows"]["undecided"] == len(answered)
            assert answered <= {key_of(row) for row in self.exported() if row["status"] == "answered"}
        self.run("--resend", "changed")

    # What must be true

    def check(self) -> None:
        """Compare journal, output, report and status with the books."""
        rows = self.exported()
        keys = [key_of(row) for row in rows]
        assert len(set(keys)) == len(keys), "a key twice"
        self._check_journal()
        self._check_attempts(rows)
        self._check_sums(rows)

    def _check_journal(self) -> None:
        """No accepted request is paid twice, no answer is replaced unasked, and each reply is kept once."""
        check_order(self.job.journal())
        ids = Counter(record["reply"]["response_id"] for record in self.job.journal() if _is_own_reply(record))
        twice = {id_ for id_, count in ids.items() if count > 1}
        records = [record for record in self.job.journal() if _is_own_reply(record)]
        assert not twice, [record for record in records if record["reply"]["response_id"] in twice]
        lost = self.books.whole - set(ids)
        assert len(lost) <= 3 * CONCURRENCY * self.kills, f"whole replies are in no record: {lost}"

    def _check_attempts(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            allowed = self.max_possibly_billed * (1 + self.resends)
            assert (row["possibly_billed_attempts"] or 0) <= allowed + self.kills, row
            assert (row["re_asks"] or 0) <= 2, row

    def _check_sums(self, rows: list[dict[str, Any]]) -> None:
        report = self._json("report")["outputs"][0]
        counts = report["rows"]
        statuses = Counter(row["status"] for row in rows)
        for status in ("answered", "failed", "invalid"):
            assert counts[status] == statuses[status], (counts, statuses)
        if counts["total"] is not None:
            assert counts["answered"] + counts["failed"] + counts["invalid"] + counts["left"] == counts["total"], counts
        cut_off = sum(row["finish_reason"] == "length" and row["status"] == "answered" for row in rows)
        assert counts["cut_off"] == cut_off
        cost = report["cost_usd"]
        known = usd(cost["known"])
        assert known == sum((usd(row["cost_usd"]) for row in rows), Decimal(0)), "the rows cost what the report says"
        paid = known + usd(cost["superseded"]) + usd(cost["pending"])
        assert paid <= self.billed_usd <= paid + usd(cost["possibly_billed"]), f"{self.billed_usd} was billed: {cost}"
        assert paid >= self.paid, f"{self.paid} was told before, and now {paid}"
        self.paid = paid
        status = self._json("status")["rows"]
        for name in ("answered", "failed", "invalid", "cut_off"):
            assert status[name] == counts[name], (status, counts)

    def _check_summary(self, summary: dict[str, Any], ended: Ended) -> None:
        counts, cost = summary["rows"], summary["cost_usd"]
        total = sum(counts[name] or 0 for name in ("answered", "failed", "invalid", "left"))
        assert counts["total"] in {None, total}, counts
        if ended.code in {0, 3}:
            assert ended.code == (3 if counts["failed"] or counts["invalid"] or counts["undecided"] else 0), counts
        paid = usd(cost["known"])
        assert paid <= self.billed_usd <= paid + usd(cost["possibly_billed_at_most"]), (self.billed_usd, cost)
        assert paid >= self.paid, (paid, self.paid)
        self.paid = paid

    def _check_finished(self, ended: Ended, counts: dict[str, Any]) -> None:
        assert counts["left"] == 0, (counts, ended.err)
        table = rows_of(self.job.output)
        keys = [key_of(row) for row in table]
        assert sorted(keys) == sorted(self.keys), (sorted(keys), sorted(self.keys))
        kept = counts["undecided"]
        for row in table:
            assert row["n"] == self.rows[row["id"]].column, "the column is not the input's"
            if row["status"] == "answered":
                asked = [message["content"] for message in row["messages"] if message["role"] == "user"]
                if asked != self.rows[row["id"]].turns:
                    kept -= 1
                if self.schema is not None:
                    assert isinstance(json.loads(row["parsed"])["n"], int), row
            else:
                assert row["error_kind"], row
        assert kept >= 0 or "--keep-changed" in self.log[-1], "an answer to another request than the row's"

    # How it is seen

    @property
    def billed_usd(self) -> Decimal:
        return sum(self.books.billed, Decimal(0))

    @property
    def _dearest(self) -> Decimal:
        return (300 * INPUT_USD + MAX_TOKENS * OUTPUT_USD) / MILLION

    def _at_risk_usd(self) -> Decimal:
        return self._dearest * 2 * CONCURRENCY * self.kills

    def exported(self) -> list[dict[str, Any]]:
        """The rows there are, by `export`."""
        path = self.job.folder / "export.parquet"
        path.unlink(missing_ok=True)
        ended = self.job.run("export", "job.yaml", "-o", str(path))
        if ended.code == 2:  # no run yet, or no row
            return []
        assert ended.code == 0, ended.err
        return rows_of(path)

    def _json(self, command: str) -> dict[str, Any]:
        ended = self.job.run(command, "job.yaml", "--json")
        assert ended.code == 0, ended.err
        value: dict[str, Any] = json.loads(ended.out)
        return value


def check_order(records: Iterable[dict[str, Any]]) -> None:
    """No accepted request of a row is in `records` twice, and no answer is replaced unasked by one to the same request.

    A run that sends answers again says so in its record. One that fails then is answered no longer, and may be sent by
    a run that sends failed rows again, which says nothing.
    """
    answered: dict[Key, str] = {}
    resend: Any = None
    steps: dict[Key, tuple[str, set[int]]] = {}
    for record in records:
        kind = record["kind"]
        if kind == "run":
            resend = record["resend"]
        elif kind == "step" and record["why"] == "accepted":
            fingerprint, accepted = steps.setdefault(key_of(record), (record["fp"], set()))
            if fingerprint != record["fp"]:
                accepted = set()
            assert record["step"] not in accepted, f"request {record['step']} of {key_of(record)} was paid twice"
            steps[key_of(record)] = record["fp"], accepted | {record["step"]}
        elif kind == "amend":
            if (moved := answered.pop((*record["of"],), None)) is not None:
                answered[key_of(record)] = moved
        elif kind == "row":
            key = key_of(record)
            steps.pop(key, None)
            assert resend or answered.get(key) != record["fp"], f"{key} was answered, and then {record}"
            if record["status"] == "answered":
                answered[key] = record["fp"]
            else:
                answered.pop(key, None)


def key_of(row: dict[str, Any]) -> Key:
    """The key of a row or a record."""
    return row["id"], row["variant"], row["sample"]


def _is_own_reply(record: dict[str, Any]) -> bool:
    """Whether the reply of `record` was sent to its own row: one that is shared has no times."""
    return "response_id" in record.get("reply", {}) and ("started_at" in record or record["kind"] == "step")
