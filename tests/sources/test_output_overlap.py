"""Whether an input would take in the output."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.job.paths import resolved_input
from batchchat.job.spec import InputSpec
from batchchat.object_store.url import parse_url
from batchchat.sources import overlapping_entry
from batchchat.sources.output_overlap import entries_reading
from tests.sources.folder import Folder, user

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD = [{"messages": user("hi")}]


def taken(home: Path, output: str, *typed: str) -> str | None:
    paths: Sequence[str] = [resolved_input(one, home, {}) for one in typed]
    return overlapping_entry(InputSpec(tuple(paths), typed), home / output)


@pytest.mark.parametrize(
    ("typed", "output", "is_taken"),
    [
        ("d", "d/out.parquet", True),
        ("d/", "d/deep/er/out.parquet", True),
        ("d", "d/out", True),
        ("d", "d", True),
        ("d", "d/_out/x.parquet", False),
        ("d", "d/.x.parquet", False),
        ("d", "d/a.run/x.parquet", False),
        ("d", "out.parquet", False),
        ("d", "dd/out.parquet", False),
        (".", "new/out.parquet", True),
        ("d/*.parquet", "d/out.parquet", True),
        ("d/*.parquet", "d/deep/out.parquet", False),
        ("d/*.jsonl", "d/out.parquet", False),
        ("d/**/*.parquet", "d/out.parquet", True),
        ("d/**/*.parquet", "d/deep/er/out.parquet", True),
        ("d/**", "d/deep/out.parquet", True),
        ("**/*.parquet", "new/out", True),
        ("d/*", "d/out", False),
        ("d/out/*", "d/out", True),
        ("link/*.parquet", "d/out.parquet", True),
        ("d/*.parquet", "link/out.parquet", True),
        ("d/../d/*.parquet", "d/out.parquet", True),
        ("d/[a-z]ut.parquet", "d/out.parquet", True),
        ("d/a.jsonl", "d/out.parquet", False),
    ],
)
@pytest.mark.parametrize("home", ["home", "home [1]"])
def test_an_output_in_its_own_input(tmp_path: Path, home: str, typed: str, output: str, *, is_taken: bool) -> None:
    """The output need not be there, and need not be reached by the same name."""
    folder = Folder(tmp_path / home)
    folder.write("d/a.jsonl", GOOD)
    (folder.path / "link").symlink_to("d")
    expected = typed if is_taken else None
    assert taken(folder.path, output, "d/a.jsonl", typed) == expected


_segments = st.sampled_from(["*", "**", "a", "?", "[ab]", "*.parquet", ".h", "b"])


@given(
    st.lists(_segments, min_size=1, max_size=4).map("/".join),
    st.lists(st.sampled_from(["a", "b", ".h", "ab"]), max_size=3),
)
def test_patterns_match_as_glob_does(pattern: str, folders: list[str]) -> None:
    """What is told of a file before it is there is what `glob` finds when it is."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        output = home.joinpath(*folders, "x.parquet")
        if not glob.has_magic(pattern):
            return
        told = overlapping_entry(InputSpec((f"{home}/{pattern}",), (pattern,)), output)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.touch()
        found = [Path(match) for match in glob.glob(f"{home}/{pattern}", recursive=True)]  # noqa: PTH207
        assert (told is not None) == (output in found)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("typed", "output", "entries"),
    [
        (("d/out.parquet",), "d/out.parquet", ["d/out.parquet"]),
        (("d/../d/out.parquet", "in.jsonl"), "d/out.parquet", ["d/../d/out.parquet"]),
        (("d/out",), "d/out", ["d/out"]),
        (("d/out/*.parquet",), "d/out", ["d/out/*.parquet"]),
        (("in.jsonl", "d/*.parquet"), "d/out.parquet", ["d/*.parquet"]),
        (("in.jsonl", "d/other.parquet"), "d/out.parquet", []),
    ],
)
def test_entries_that_read_the_output_of_another_job(
    tmp_path: Path, typed: tuple[str, ...], output: str, entries: list[str], *, exists: bool
) -> None:
    """The output itself counts, whether or not it is there yet."""
    path = tmp_path / output
    if exists and path.suffix:
        path.parent.mkdir()
        path.touch()
    elif exists:
        path.mkdir(parents=True)
    paths = tuple(resolved_input(entry, tmp_path, {}) for entry in typed)
    assert entries_reading(InputSpec(paths, typed), path) == entries


@pytest.mark.parametrize(
    ("typed", "output", "is_taken"),
    [
        ("s3://bucket/d/", "s3://bucket/d/out.parquet", True),
        ("s3://bucket", "s3://bucket/deep/er/out.parquet", True),
        ("s3://bucket/d/", "s3://bucket/d/out", True),
        ("s3://bucket/d/", "s3://bucket/dd/out.parquet", False),
        ("s3://bucket/d/", "s3://bucket/d/_old/out.parquet", False),
        ("s3://other/d/", "s3://bucket/d/out.parquet", False),
        ("gs://bucket/d/", "s3://bucket/d/out.parquet", False),
        ("s3://bucket/d/*.jsonl", "s3://bucket/d/out.parquet", False),
        ("s3://bucket/**/*.parquet", "s3://bucket/d/out", True),
        ("s3://bucket/d/*/*.json", "s3://bucket/d/out", True),
        ("s3://bucket/out.parquet", "s3://bucket/out.parquet", True),
        ("d/*", "s3://bucket/d/out.parquet", False),
        ("https://bucket/d/out.parquet", "s3://bucket/d/out.parquet", False),
    ],
)
def test_an_output_in_a_store(tmp_path: Path, typed: str, output: str, is_taken: bool) -> None:
    spec = InputSpec((resolved_input(typed, tmp_path, {}),), (typed,))
    published = tmp_path / "out.run/published.parquet"
    assert overlapping_entry(spec, published, parse_url(output)) == (typed if is_taken else None)
    assert entries_reading(spec, published, parse_url(output)) == ([typed] if is_taken else [])
