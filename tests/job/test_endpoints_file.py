"""A file of endpoints: what a line may say, and what a change of it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.job.endpoints_file import EndpointLines, EndpointsFile, read_endpoints_file
from tests.job.given import TOP, faults


def read(folder: Path, text: str) -> EndpointLines:
    (folder / "nodes.txt").write_text(text)
    return read_endpoints_file(folder / "nodes.txt", "nodes.txt")


def test_a_line_is_a_url_with_what_the_endpoint_has_of_its_own(tmp_path: Path) -> None:
    lines = read(
        tmp_path,
        "# Slurm job 7\n\nhttp://n1:8000/v1\n http://n2:8000/v1 weight=2.5 concurrency=40 name=big model=m-awq #8\n",
    )
    first, second = lines.endpoints
    assert lines.problems == ()
    assert (first.base_url, first.name, first.weight, first.concurrency) == ("http://n1:8000/v1", "n1:8000", 1.0, None)
    assert (second.base_url, second.name, second.weight, second.concurrency, second.model) == (
        "http://n2:8000/v1",
        "big",
        2.5,
        40,
        "m-awq",
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("n1", "`base_url` is n1. It takes "),
        ("http://n1/v1 weight=0", "`weight` is 0. It takes a number above 0."),
        ("http://n1/v1 concurrency=many", '`concurrency` is "many", text. It takes '),
        ("http://n1/v1 wieght=2", "Did you mean `weight`?"),
        (
            "http://n1/v1 api_key_env=KEY",
            "`api_key_env` is not a key of a line. It takes base_url, name, weight, concurrency and model.",
        ),
        ("http://n1/v1 weight 2", "What follows the base_url has the form NAME=VALUE, such as weight=2."),
        ("http://n1/v1 sk-0123456789abcdef", "What follows the base_url has the form NAME=VALUE, such as weight=2."),
        ("http://n0/v1", "n0 is in the file already"),
        ("mock", "`mock` can't be in a file of endpoints"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_used(tmp_path: Path, line: str, words: str) -> None:
    lines = read(tmp_path, f"http://n0/v1\n{line}\nhttp://n2/v1\n")
    assert [endpoint.name for endpoint in lines.endpoints] == ["n0", "n2"]
    (problem,) = lines.problems
    assert problem.startswith("nodes.txt:2: ")
    assert words in problem


def test_a_password_in_a_line_is_not_shown(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, "http://me:hunter2@n1/v1\n").problems
    assert "hunter2" not in problem


def test_only_changes_are_told_and_a_last_good_state_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "nodes.txt"
    file = EndpointsFile(path, "nodes.txt", read(tmp_path, "http://n1/v1\n"))

    def changed() -> tuple[list[str], tuple[str, ...]] | None:
        lines = file.changed()
        return None if lines is None else ([endpoint.name for endpoint in lines.endpoints], lines.problems)

    assert changed() is None
    path.write_text("http://n1/v1\nhttp://n2/v1\nbad\n")
    names, problems = changed() or ([], ())
    assert (names, len(problems)) == (["n1", "n2"], 1)
    assert changed() is None
    path.write_text("# all gone\n")
    assert changed() == (["n1", "n2"], ("nodes.txt has no endpoint. The endpoints that it had before are used.",))
    assert changed() is None
    path.unlink()
    names, problems = changed() or ([], ())
    assert (names, len(problems)) == (["n1", "n2"], 1)
    assert "can't be read (No such file or directory)" in problems[0]
    path.write_text("http://n3/v1\n")
    assert changed() == (["n3"], ())


@pytest.mark.parametrize(
    ("endpoints", "sentence"),
    [
        (
            "{file: nodes.txt, weight: 2}",
            "`weight` is not a key of `endpoints`, which takes a list or `file` alone.",
        ),
        (
            "{fil: nodes.txt}",
            "`fil` is not a key of `endpoints`, which takes a list or `file` alone. Did you mean `file`?",
        ),
    ],
)
def test_a_mapping_that_is_meant_as_a_file_is_told_which_key_is_wrong(endpoints: str, sentence: str) -> None:
    assert faults(f"{TOP}endpoints: {endpoints}\n") == [f"job.yaml:4: {sentence}"]
