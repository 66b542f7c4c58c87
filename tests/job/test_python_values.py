from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from batchchat.errors import JobError
from batchchat.job import load_job, source_of_keys
from batchchat.job.python_values import flow_text, yaml_text
from batchchat.job.tree import MappingNode, Node, Scalar, SequenceNode
from batchchat.job.yaml_parser import parse, resolve_nodes
from tests.job.given import load

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "1e5",
        "0x10",
        "1_000",
        "${HOME}",
        "$${HOME}",
        "a: b",
        "# no",
        " x ",
        "two\nlines\n",
        "\t",
        "é",
        "*a",
    ]
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(bool), inner, max_size=3),
    max_leaves=8,
)
JOB = {"input": {"path": "rows.jsonl"}, "model": "m", "endpoint": {"base_url": "mock"}, "output": {"path": "o.parquet"}}


def value_of(node: Node) -> Any:
    if isinstance(node, MappingNode):
        return {key: value_of(entry) for key, entry in node.entries.items()}
    if isinstance(node, SequenceNode):
        return [value_of(item) for item in node.items]
    assert isinstance(node, Scalar), node
    return node.value


def read_back(text: str) -> Any:
    source = source_of_keys({}, Path())
    root = parse(text, source.location_at)
    assert root is not None
    node, problems = resolve_nodes(root, source.location_at, {"HOME": "/home/me"})
    assert not problems
    return value_of(node)


@given(VALUES)
def test_any_value_is_read_back_as_it_is(value: Any) -> None:
    """No text becomes a number or a variable, whatever it looks like."""
    assert read_back(yaml_text({"params": value})) == {"params": value}
    assert read_back(flow_text("params", value)) == value


def test_types_that_stand_for_others() -> None:
    """Paths, tuples, NumPy's numbers, decimals with their digits, and a Pydantic model for its schema."""

    class Label(BaseModel):
        stars: int

    text = yaml_text({"a": Path("x/y"), "b": (1, np.int64(2), np.float32(0.5)), "c": Decimal("0.10"), "d": Label})
    assert read_back(text) == {"a": "x/y", "b": [1, 2, 0.5], "c": 0.1, "d": Label.model_json_schema()}
    assert "c: 0.10\n" in text


def test_what_no_job_can_hold_is_refused_by_name() -> None:
    """The message names the key and the type, and not the value, which may be a key."""
    with pytest.raises(JobError, match=r"^job: `params\.stop` is of the type set, which a job can't hold\."):
        yaml_text({"params": {"stop": {"sk-secret"}}})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(JobError, match="goes deeper than 100 levels"):
        yaml_text({"params": endless})


def test_a_load_job_keys_is_that_of_the_file() -> None:
    """The same spec as of the same keys in a file; faults have no line, and no value is taken from a variable."""
    job = load_job(source_of_keys({**JOB, "system": "${HOME}"}, Path("/jobs")), environ={"HOME": "/home/me"})
    assert (job.path, job.label, job.system, job.output.path) == (None, "o", "${HOME}", Path("/jobs/o.parquet"))
    assert load(job.text).system == "${HOME}"
    with pytest.raises(JobError, match=r"^job: `concurency` is not a key of a job"):
        load_job(source_of_keys({**JOB, "concurency": 3}, Path()), environ={})
