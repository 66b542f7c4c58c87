"""Which shard `--shard` means, by itself and by the variables of a scheduler."""

from __future__ import annotations

import pytest

from batchchat.cli.shard_option import shard_from
from batchchat.errors import UsageError


def slurm(at: int, first: int, last: int, count: int | None = None) -> dict[str, str]:
    """What Slurm sets for the task `at` of `--array=first-last`."""
    count = last - first + 1 if count is None else count
    values = {"ID": at, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("2/4", {}, (2, 4)),
        ("1/1", slurm(3, 0, 9), (1, 1)),
        ("auto", slurm(2, 1, 4), (2, 4)),
        ("auto", slurm(2, 0, 3), (3, 4)),
        ("auto/4", slurm(0, 0, 3), (1, 4)),
        ("auto/4", {"JOB_COMPLETION_INDEX": "3"}, (4, 4)),
        ("auto", {"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "4"}, (1, 4)),
    ],
)
def test_shards(text: str, environ: dict[str, str], expected: tuple[int, int]) -> None:
    assert shard_from(text, environ) == expected


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ("0/4", {}, "--shard 0/4 is no shard of 4. It takes I/N, such as 2/4, with I from 1 to N"),
        ("5/4", {}, "--shard 5/4 is no shard of 4."),
        ("4", {}, "--shard '4' is no shard."),
        ("1/20000", {}, "20000 shards are more than 10,000"),
        ("auto", {}, "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"),
        ("auto", slurm(3, 3, 3), "Name the shard: --shard 3/N, with the N of the whole array."),
        ("auto", slurm(3, 2, 3), "number 3 of a Slurm array of 2, from 2 to 3."),
        ("auto", slurm(7, 1, 7, count=3), "from 1 to 7"),
        ("auto/8", slurm(2, 1, 4), "Name the shard: --shard 2/N"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT is '', no whole number"),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}, "Write --shard auto/N, with N as `completions` of the Job."),
        ("auto/2", {"JOB_COMPLETION_INDEX": "2"}, "JOB_COMPLETION_INDEX=2 is no shard of 2."),
        ("auto", {**slurm(1, 1, 4), "JOB_COMPLETION_INDEX": "0"}, "both SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX"),
    ],
)
def test_what_is_refused(text: str, environ: dict[str, str], says: str) -> None:
    """A task that is submitted again on its own is never taken for a shard of another number."""
    with pytest.raises(UsageError) as refused:
        shard_from(text, environ)
    assert says in str(refused.value)
