from __future__ import annotations

from collections.abc import Mapping

from batchchat.job.check import Checked, check
from batchchat.job.diagnostics import SourceLocation
from batchchat.job.tree import MappingNode
from batchchat.job.yaml_parser import parse, resolve_nodes
from tests.job.given import KEYED, MOCK, TOP


def checked(text: str, environ: Mapping[str, str] = KEYED, *suppressed: str, reads_key: bool = True) -> Checked:
    def location_at(line: int, column: int) -> SourceLocation:
        return SourceLocation.in_file("job.yaml", line, column)

    root = parse(text, location_at)
    assert root is not None
    tree, _ = resolve_nodes(root, location_at, environ)
    assert isinstance(tree, MappingNode)
    return check(tree, environ, suppressed, reads_key=reads_key)


def sentences(job: Checked) -> list[str]:
    return [diagnostic.sentence for diagnostic in job.diagnostics]


def test_values_and_defaults() -> None:
    """A key that is set and valid has its value and its location; any other has its default, null or not."""
    job = checked(MOCK + "drain: 5\nconcurrency: ~\n")
    assert sentences(job) == []
    assert (job.values["drain"], job["drain"], job.location("drain").where) == (5.0, 5.0, "job.yaml:5")
    assert "concurrency" not in job.values
    assert (job["concurrency"], job["adaptive"]) == (200, True)


def test_location_of_a_missing_key() -> None:
    """A missing key is reported at its section, or else at the job's first key."""
    job = checked(MOCK)
    assert (job.location("output.order").where, job.location("retry.max_wait").where) == ("job.yaml:3", "job.yaml:1")


def test_one_root_cause_one_diagnostic() -> None:
    """A wrong key, the key an unknown one meant and the keys of a wrong section suppress what follows from them."""
    assert len(checked(MOCK.replace("model: m", "modle: m")).diagnostics) == 1
    assert len(checked(MOCK.replace("{path: q.jsonl}", "7")).diagnostics) == 1
    assert len(checked(MOCK + "price: {input: x, output: 1}\n").diagnostics) == 1
    assert sentences(checked(MOCK.replace("model: m\n", ""), KEYED, "model")) == []


def test_a_price_is_complete() -> None:
    """A price with one of its two parts lacks the other."""
    for part, missing in (("input", "output"), ("output", "input")):
        (sentence,) = sentences(checked(f"{MOCK}price: {{{part}: 1}}\n"))
        assert sentence.startswith(f"`price.{missing}` is missing.")


def test_rows_are_chosen_in_one_way() -> None:
    """`first` and `random` exclude each other; a seed alone is accepted."""
    both = MOCK.replace("q.jsonl", "q.jsonl, first: 1, random: 1")
    assert sentences(checked(both)) == ["`input.random` can't be combined with `input.first`. Leave one out."]
    assert sentences(checked(MOCK.replace("q.jsonl", "q.jsonl, seed: 7"))) == []


def test_the_key_is_read_only_where_it_is_needed() -> None:
    """DeepInfra has a default variable; a mock, an Authorization header or a job that is not sent needs no key."""
    sent = checked(TOP)
    assert sent.api_key is not None
    assert sent.api_key_env == "DEEPINFRA_TOKEN"
    assert len(checked(TOP, {}).diagnostics) == 1
    for text, reads_key in (
        (MOCK, True),
        (TOP + "endpoint: {headers: {Authorization: Bearer x}}\n", True),
        (TOP, False),
    ):
        job = checked(text, {}, reads_key=reads_key)
        assert (job.api_key, sentences(job)) == (None, [])
