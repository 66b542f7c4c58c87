"""docs/scale.md: each scheduler's files, as they stand on the page, played by processes here."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
import zstandard

from batchchat.errors import EXIT_ROWS_FAILED, BudgetError, UsageError
from tests.acceptance.job import until
from tests.acceptance.servers import Mock, mock_thread
from tests.readme import files_of
from tests.reference import REPOSITORY

PAGE = (REPOSITORY / "docs/scale.md").read_text()
FILES = files_of(PAGE)
ROWS = 24
TASKS = 4
# As sbatch(1) of Slurm 24.05 has them.
SBATCH_OPTIONS = {"job-name", "array", "cpus-per-task", "time", "requeue", "open-mode", "output", "signal"}
NOT_AGAIN = {UsageError.exit_code, EXIT_ROWS_FAILED, BudgetError.exit_code}
"""Exit codes of a run that ends the same way when it is only started again."""


class Cluster:
    """A folder that all nodes see, with the page's files and a command `batchchat`."""

    def __init__(self, folder: Path, mock: Mock) -> None:
        self.folder = folder
        for name, content in FILES.items():
            (folder / name).write_text(content)
        reviews = ({"id": f"r{n}", "review": f"Number {n} is fine."} for n in range(ROWS))
        (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reviews))
        (folder / "bin").mkdir()
        command = folder / "bin" / "batchchat"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m batchchat "$@"\n')
        command.chmod(0o755)
        self._environ = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": str(REPOSITORY),
            "DEEPINFRA_TOKEN": "key",
            "BASE_URL": mock.url,
        }

    def start(self, words: list[str], **environ: str) -> subprocess.Popen[bytes]:
        """A process as a node runs it; nothing of this machine's environment is in its own."""
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=self._environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, words: list[str], **environ: str) -> tuple[int, str]:
        process = self.start(words, **environ)
        text = process.communicate(timeout=240)[0].decode()
        return process.returncode, text

    def rows_of(self, shard: int) -> int:
        folder = self.folder / f"labels-{shard}-of-{TASKS}.run"
        return sum(path.read_bytes().count(b'{"kind":"row"') for path in folder.glob("journal-*"))

    def merged(self) -> list[Any]:
        """The ids in the merged output."""
        ids: list[Any] = pq.read_table(self.folder / "labels.parquet").column("id").to_pylist()
        return ids


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with mock_thread(latency_s=0.01, api_key="key") as mock:
        yield Cluster(tmp_path, mock)


def slurm(task: int, *, first: int = 1, last: int = TASKS) -> dict[str, str]:
    """What Slurm sets in the task of an array."""
    numbers = {"ID": task, "COUNT": last - first + 1, "MIN": first, "MAX": last, "STEP": 1}
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()} | {"SLURM_JOB_ID": "77"}


def options(script: str) -> dict[str, str]:
    """The options of its `#SBATCH` lines; they come before the first command, where Slurm reads them."""
    head, _, _ = FILES[script].partition("\nexec ")
    found = [line.removeprefix("#SBATCH --").partition("=") for line in head.splitlines()[1:]]
    assert all(line.startswith("#SBATCH --") for line in head.splitlines()[1:])
    values = {name: value for name, _, value in found}
    assert set(values) <= SBATCH_OPTIONS
    return values


@pytest.mark.field
def test_slurm(cluster: Cluster) -> None:
    """An array whose third task is lost with its node and submitted again; the merge runs when all have ended."""
    assert options("shards.sbatch")["array"] == f"1-{TASKS}"
    tasks = {number: cluster.start(["bash", "shards.sbatch"], **slurm(number)) for number in range(1, TASKS + 1)}
    until(lambda: cluster.rows_of(3) or tasks[3].poll() is not None, "a row of the third task", 240)
    tasks[3].kill()
    codes = {}
    for number, task in tasks.items():
        task.communicate(timeout=240)
        codes[number] = task.returncode
    assert {codes[number] for number in (1, 2, 4)} == {0}
    if codes[3]:
        code, text = cluster.run(["bash", "merge.sbatch"])
        assert (code, "shard 3 of 4 is missing." in text) == (2, True), text
    code, text = cluster.run(["bash", "shards.sbatch"], **slurm(3, first=3, last=3))
    assert code == 2
    assert "Name the shard: --shard 3/N, with the N of the whole array." in text
    assert cluster.run(["bash", "again.sbatch"], **slurm(3, first=3, last=3))[0] == 0
    code, text = cluster.run(["bash", "merge.sbatch"])
    assert (code, text.startswith(f"labels.parquet: 4 shards, {ROWS} of {ROWS} rows answered")) == (0, True), text
    assert cluster.merged() == [f"r{n}" for n in range(ROWS)]


@pytest.mark.field
def test_slurm_sends_a_signal_before_the_time_is_up(cluster: Cluster) -> None:
    """`--signal=B:` is for the process of the script itself, which is the run by then: it drains."""
    assert options("shards.sbatch")["signal"] == "B:TERM@120"
    task = cluster.start(["bash", "shards.sbatch"], **slurm(1))
    until(lambda: cluster.rows_of(1) or task.poll() is not None, "its first row", 240)
    task.send_signal(signal.SIGTERM)
    text = task.communicate(timeout=240)[0].decode()
    assert task.returncode in {0, 143}, text
    assert cluster.run(["bash", "shards.sbatch"], **slurm(1))[0] == 0


def manifest() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(FILES["shards.yaml"])
    return parsed


def test_the_manifest_holds_together() -> None:
    """What Kubernetes asks of an Indexed Job with a limit for each index, and what our exit codes and drain need."""
    spec = manifest()["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    of_job = {"completionMode", "completions", "parallelism", "backoffLimitPerIndex", "podFailurePolicy", "template"}
    of_pod = {"restartPolicy", "terminationGracePeriodSeconds", "securityContext", "containers", "volumes"}
    of_container = {"name", "image", "imagePullPolicy", "args", "env", "resources", "volumeMounts"}
    assert (set(spec), set(pod), set(container)) == (of_job, of_pod, of_container)
    assert (spec["completionMode"], pod["restartPolicy"]) == ("Indexed", "Never")
    assert container["args"][container["args"].index("--shard") + 1] == f"auto/{spec['completions']}"
    assert spec["completions"] == spec["parallelism"] == TASKS
    assert pod["terminationGracePeriodSeconds"] > 30
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names
    rules = spec["podFailurePolicy"]["rules"]
    assert {rule["action"]: set(rule["onExitCodes"]["values"]) for rule in rules if "onExitCodes" in rule} == {
        "FailIndex": NOT_AGAIN
    }
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} == {container["name"]}
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["batchchat"]' in dockerfile
    assert f"WORKDIR {container['volumeMounts'][0]['mountPath']}" in dockerfile


def test_the_manifest_is_what_kubernetes_takes() -> None:
    """By the schema of its API, where the package that has it is installed."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    validator.validate(manifest(), "1.33", strict=True)


@pytest.mark.field
def test_kubernetes(cluster: Cluster) -> None:
    """Four indexes, one of whose pods is evicted: another one with the same index goes on where it was."""
    (container,) = manifest()["spec"]["template"]["spec"]["containers"]
    words = ["batchchat", *container["args"]]
    pods = [cluster.start(words, JOB_COMPLETION_INDEX=str(index)) for index in range(TASKS)]
    until(lambda: cluster.rows_of(2) or pods[1].poll() is not None, "a row of index 1", 240)
    pods[1].terminate()
    for pod in pods:
        pod.communicate(timeout=240)
    assert {pods[index].returncode for index in (0, 2, 3)} == {0}
    assert pods[1].returncode in {0, 143}
    assert cluster.run(words, JOB_COMPLETION_INDEX="1")[0] == 0
    code, text = cluster.run(["sh", "-c", "batchchat merge labels-*-of-4.parquet -o labels.parquet"])
    assert code == 0, text
    assert cluster.merged() == [f"r{n}" for n in range(ROWS)]


@pytest.mark.field
def test_skypilot(cluster: Cluster) -> None:
    """Each node runs `run` with its rank; a shard with failed rows does not end the others."""
    task = yaml.safe_load(FILES["shards.sky.yaml"])
    assert set(task) <= {"name", "num_nodes", "workdir", "resources", "secrets", "setup", "run"}
    with (cluster.folder / "reviews.jsonl").open("a") as file:
        file.write('{"id": "without a review"}\n')
    nodes = [
        cluster.start(
            ["bash", "-c", task["run"]], SKYPILOT_NODE_RANK=str(rank), SKYPILOT_NUM_NODES=str(task["num_nodes"])
        )
        for rank in range(task["num_nodes"])
    ]
    assert [(node.communicate(timeout=240), node.returncode)[1] for node in nodes] == [0] * TASKS
    section = PAGE.partition("### SkyPilot\n")[2]
    fetched = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0]
    merge = next(line for line in fetched.splitlines() if line.startswith("batchchat "))
    assert cluster.run(["sh", "-c", merge])[0] == 0
    assert cluster.merged() == [*(f"r{n}" for n in range(ROWS)), "without a review"]


@pytest.mark.field
def test_parts_of_their_own(cluster: Cluster) -> None:
    """The loop over the parts of a large input, some of whose rows fail, and the query over all outputs."""
    lines = (cluster.folder / "reviews.jsonl").read_text().splitlines(keepends=True)
    for number in (1, 2):
        part = cluster.folder / "in" / f"part-00{number}"
        part.mkdir(parents=True)
        content = "".join([*lines[number - 1 :: 2], '{"id": "r0"}\n'] if number == 1 else lines[1::2])
        (part / "a.jsonl.zst").write_bytes(zstandard.compress(content.encode()))
    (cluster.folder / "job.yaml").write_text(FILES["reviews.yaml"])
    section = PAGE.partition("## A billion conversations\n")[2].partition("\n## ")[0]
    (loop,) = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    code, text = cluster.run(["sh", "-c", loop])
    assert code == 0, text
    (query,) = (match.replace("\n  ", "") for match in re.findall(r"`(SELECT [^`]*)`", section))
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as database:
        database.sql(f"SET file_search_path = '{cluster.folder}'")
        counts = {status: count for status, count, _ in database.sql(query).fetchall()}
    assert counts == {"answered": ROWS, "invalid": 1}


def test_scripts_are_what_bash_takes() -> None:
    for name, content in FILES.items():
        if name.endswith(".sbatch"):
            checked = subprocess.run(
                ["bash", "-n"], input=content, capture_output=True, text=True, check=False, env={"PATH": os.defpath}
            )
            assert checked.returncode == 0, f"{name}: {checked.stderr}"
