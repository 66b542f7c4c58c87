"""`endpoints: {file: nodes.txt}`: the file is read again while the run goes on, as nodes come and go."""

from __future__ import annotations

from tests.acceptance.job import Job, rows, until
from tests.field.endpoint import Asked, Step, endpoint, ok


def slow(_: Asked) -> list[Step]:
    return [0.02, ok()]


def test_endpoints_join_and_leave_while_the_run_goes_on(job: Job) -> None:
    """One that joins is sent rows, one that leaves no more; bad lines are told and the others used; no row is lost."""
    nodes = job.folder / "nodes.txt"
    with endpoint(slow) as first, endpoint(slow) as second:
        nodes.write_text(f"# nodes\n{first.url} concurrency=2 name=first\nnonsense\n")
        job.write(rows(600), endpoint__base_url=None, endpoints={"file": "nodes.txt"}, concurrency=4)
        running = job.start("--progress", "log")
        until(lambda: len(first.asked) > 5)
        running.says("nodes.txt:3: ")
        nodes.write_text(f"{first.url} concurrency=2 name=first\n{second.url} concurrency=2 name=second  # new\n")
        until(lambda: len(second.asked) > 5)
        running.says("nodes.txt: second joined; 2 endpoints")
        nodes.write_text(f"{second.url} concurrency=2 name=second\n")
        running.says("first left")
        asked_of_first = len(first.asked)
        ended = running.end()
        assert ended.code == 0, ended.err
        assert len(first.asked) <= asked_of_first + 2  # what was admitted when it left
        assert len(first.asked) + len(second.asked) == 600
    table = job.table()
    assert len(table) == 600
    assert {row["endpoint"] for row in table} == {"first", "second"}


def test_a_file_that_is_not_there_is_refused(job: Job) -> None:
    job.write(rows(1), endpoint__base_url=None, endpoints={"file": "nodes.txt"})
    ended = job.run()
    assert ended.code == 2
    assert "`endpoints` names nodes.txt, which can't be read: No such file or directory. Correct the path," in ended.err


def test_an_empty_file_is_waited_for(job: Job) -> None:
    """As long as an outage may last, and the first line says so."""
    nodes = job.folder / "nodes.txt"
    nodes.write_text("# none yet\nhttp://a:1/v1 weight=heavy\n")
    job.write(rows(3), endpoint__base_url=None, endpoints={"file": "nodes.txt"}, retry__max_outage=0)
    ended = job.run()
    assert ended.code == 2
    assert "names nodes.txt, which has no endpoint. nodes.txt:2: `weight`" in ended.err
    job.write(retry__max_outage=20)
    running = job.start()
    running.says("nodes.txt has no endpoint yet; waiting up to 20s, Ctrl-C stops")
    running.says("nodes.txt:2: `weight`")
    nodes.write_text("http://a:1/v1 wieght=2\n")
    running.says("nodes.txt:1: `wieght` is not a key of a line. Did you mean `weight`?")
    with endpoint(lambda _: ok()) as server:
        nodes.write_text(f"{server.url}\n")
        ended = running.end()
    assert ended.code == 0, ended.err
    assert len(job.table()) == 3


def test_validate_names_the_lines_that_a_run_passes_over(job: Job) -> None:
    (job.folder / "nodes.txt").write_text("http://127.0.0.1:9/v1\nhttp://127.0.0.1:9/v1\n")
    job.write(rows(1), endpoint__base_url=None, endpoints={"file": "nodes.txt"})
    ended = job.run("validate", "job.yaml")
    assert ended.code == 0
    assert "  note      nodes.txt:2: 127.0.0.1:9 is in the file already." in ended.out


def test_waiting_for_an_endpoint_is_stopped_by_a_signal(job: Job) -> None:
    (job.folder / "nodes.txt").touch()
    job.write(rows(1), endpoint__base_url=None, endpoints={"file": "nodes.txt"})
    running = job.start()
    running.says("nodes.txt has no endpoint yet")
    running.signal(2)
    assert running.end().code == 130


def test_a_cap_needs_a_price_for_endpoints_that_join_later(job: Job) -> None:
    (job.folder / "nodes.txt").write_text("http://127.0.0.1:9/v1\n")
    job.write(rows(1), endpoint__base_url=None, endpoints={"file": "nodes.txt"}, budget__max_cost=1)
    ended = job.run()
    assert ended.code == 2
    assert "`budget.max_cost` needs a known price" in ended.err
