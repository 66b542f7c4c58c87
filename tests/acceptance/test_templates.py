"""A table and a question: what a template makes of rows, and what a changed one sends again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.acceptance.job import Job

REVIEWS = [{"id": f"r{n}", "review": f"Review {n}", "stars": n % 5, "lang": ("de", "en")[n % 2]} for n in range(20)]
TEMPLATE = "Is this positive?\n{{ review }}"


def asked(job: Job) -> dict[str, str]:
    """The last message but the reply of each row."""
    return {row["id"]: row["messages"][-2]["content"] for row in job.table() if row["status"] == "answered"}


def test_a_table_and_a_question(job: Job) -> None:
    """The columns are in the output beside the reply, and the request was what the template made."""
    job.write(REVIEWS, template=TEMPLATE, system="You speak {{ lang }}.", input__where="stars > 1")
    ended = job.run("--json")
    assert ended.code == 0
    rows = job.table()
    assert [row["id"] for row in rows] == [row["id"] for row in REVIEWS if int(str(row["stars"])) > 1]
    first = rows[0]
    assert first["messages"][:2] == [
        {"role": "system", "content": "You speak de."},
        {"role": "user", "content": "Is this positive?\nReview 2"},
    ]
    assert (first["review"], first["stars"], first["lang"]) == ("Review 2", 2, "de")
    assert json.loads(ended.out)["rows"]["total"] == 12
    assert "8 rows left out by `input.where`." in ended.err
    again = job.run()
    assert (again.code, len(job.table())) == (0, 12)


def test_a_changed_template_asks_about_changed_rows(job: Job) -> None:
    """The rows are the same ones, with ids of a column or of all columns; what it did not change is not sent again."""
    rows = [{name: value for name, value in row.items() if name != "id"} for row in REVIEWS]
    job.write(rows, template=TEMPLATE, input__id=None)
    assert job.run().code == 0
    ids = list(asked(job))
    job.write(template="{% if stars == 3 %}Well? {% endif %}" + TEMPLATE)
    ended = job.run()
    assert ended.code == 3
    assert "4 undecided" in ended.out
    assert job.run("--resend", "changed").code == 0
    assert list(asked(job)) == ids
    assert sum(text.startswith("Well?") for text in asked(job).values()) == 4
    assert sum(record["kind"] == "row" for record in job.journal()) == 24


def test_rows_that_can_not_be_rendered(job: Job) -> None:
    """Twenty of them: each is an invalid row with its file and line, and validate counts them by reason."""
    columns: list[dict[str, Any]] = [{"revew": "x"}] * 5 + [{"review": None}] * 5 + [{"review": " \n"}] * 3
    columns += [{"review": {"text": 0}}] * 4 + [{"review": ["x"]}] * 3
    bad = [{"id": f"b{n:02}", **row} for n, row in enumerate(columns)]
    job.write([*REVIEWS[:3], *bad], template="{{ review|trim if review is string else review.txt }}")
    ended = job.run()
    assert ended.code == 3
    invalid = {row["id"]: row["error"] for row in job.table() if row["status"] == "invalid"}
    assert len(invalid) == 20
    where = "`template`, line 1: there is no"
    assert invalid["b00"] == f"{where} column `review`. Did you mean `revew`?"
    assert invalid["b05"] == f"{where} `txt` in null."
    assert invalid["b10"] == "`template` gives nothing but white space"
    assert invalid["b13"] == f'{where} key `txt` in {{"text":0}}, an object. Did you mean `text`?'
    assert invalid["b17"] == f'{where} `txt` in ["x"], a list.'
    checked = job.run("validate", "job.yaml")
    assert checked.code == 2
    assert "17 rows: the template can't be rendered" in checked.out
    assert f"in.jsonl:4: {invalid['b00']}" in " ".join(checked.out.split())


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"template": "a\n{{ review }"}, "error: `template`, line 2: unexpected '}'."),
        ({"template": {"path": "x.j2"}}, "error: job.yaml:14: `template` names x.j2: there is no such file."),
        (
            {"template": "{% include 'x' %}"},
            "error: `template`, line 1: `{% include %}` is not taken: a template is one text.",
        ),
        ({"template": TEMPLATE, "system": "{{"}, "error: `system`, line 1: unexpected 'end of template'."),
        ({"template": TEMPLATE, "input__where": "stars = 3"}, "error: `input.where`: unexpected `=`. `==` compares."),
        (
            {"template": TEMPLATE, "input__where": "stars > 7"},
            "error: in.jsonl has no row that can be sent. 20 rows left out by `input.where`."
            " Check `input.where`: columns of CSV are text, `'3'` or `score|int`.",
        ),
        (
            {"template": "{{ reviw }}"},
            "error: in.jsonl has no row that can be sent. The first: in.jsonl:1: `template`, line 1: there is no column"
            " `reviw`. Did you mean `review`? Check `template` and `input.id`.",
        ),
    ],
)
def test_jobs_that_are_refused(job: Job, keys: dict[str, Any], error: str) -> None:
    """Before anything is sent: what is wrong in every row is told once."""
    job.write(REVIEWS, **keys)
    ended = job.run()
    assert (ended.code, ended.errors) == (2, [error])


def test_a_template_without_end(job: Job) -> None:
    """A row that would make 100 MB is invalid; the others are answered."""
    job.write(REVIEWS[:4], template="{{ review * (10**8 if stars == 2 else 1) }}")
    assert job.run().code == 3
    assert [(row["status"], row["error"]) for row in job.table()][2] == (
        "invalid",
        "`template`, line 1: gives more than 16 MiB of text.",
    )
    assert len(asked(job)) == 3
