"""A kernel of Jupyter: a cell that is interrupted, and run again."""

from __future__ import annotations

import json
import os
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.servers import Mock, mock_process

ROWS = 16
SETUP = """
import signal, threading, warnings
import pandas as pd
from batchchat import Job, chat_frame, run, run_async
job = Job(input="rows.jsonl", model="m", output="out.parquet", concurrency=4, endpoint={endpoint})
frame = pd.DataFrame({{"text": [f"frame {{n}}" for n in range({rows})]}})
def ask():
    return chat_frame(frame, model="m", prompt="text", output="frame.parquet", concurrency=4, endpoint={endpoint})
state = lambda: ([signal.getsignal(n) for n in (1, 2, 15)], [thread.name for thread in threading.enumerate()])
before = state()
"""


class Kernel:
    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    def begin(self, code: str) -> str:
        message: str = self.client.execute(code)
        return message

    def end(self, message: str) -> tuple[str, list[str]]:
        """What the cell shows, and the names of its errors."""
        shown, errors = "", []
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                came = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            if came["parent_header"].get("msg_id") != message:
                continue
            content = came["content"]
            if came["msg_type"] == "stream":
                shown += content["text"]
            elif came["msg_type"] == "execute_result":
                shown += content["data"]["text/plain"]
            elif came["msg_type"] == "error":
                errors.append(content["ename"])
            elif came["msg_type"] == "status" and content["execution_state"] == "idle":
                return shown, errors
        raise AssertionError(shown)

    def cell(self, code: str) -> tuple[str, list[str]]:
        return self.end(self.begin(code))


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    jupyter = pytest.importorskip("jupyter_client")
    pytest.importorskip("ipykernel")
    manager = jupyter.KernelManager(kernel_name="python3", ip="127.0.0.1")
    manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": paths, "IPYTHONDIR": str(folder / "ipython"), "K": "key-0123456789"}
    manager.start_kernel(cwd=str(folder), env=environ)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def interrupted_and_run_again(jupyter: Kernel, mock: Mock, code: str) -> tuple[str, list[str], int]:
    """What the interrupted cell shows and raises, and how many requests both calls sent."""
    begun = mock.stats()["requests"]
    message = jupyter.begin(code)
    while mock.stats()["requests"] - begun < ROWS // 2:
        time.sleep(0.02)
    jupyter.manager.interrupt_kernel()
    shown, errors = jupyter.end(message)
    assert mock.stats()["requests"] - begun < ROWS, "it was interrupted before its end"
    again, no_errors = jupyter.cell(code)
    assert no_errors == [], again
    return shown, errors, mock.stats()["requests"] - begun


@pytest.mark.filterwarnings("ignore")  # of the client of Jupyter
def test_an_interrupted_cell_pays_for_nothing_twice(tmp_path: Path) -> None:
    """What was in flight is kept, the cell says how to go on, and the kernel is as it was."""
    lines = [json.dumps({"id": f"r{n}", "prompt": f"Say {n}."}) for n in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    with mock_process("--latency", "0.4") as mock, kernel(tmp_path) as jupyter:
        endpoint = {"base_url": mock.url, "api_key_env": "K"}
        assert jupyter.cell(SETUP.format(endpoint=endpoint, rows=ROWS))[1] == []
        for code, raised in (
            ("run(job, progress='log')", "KeyboardInterrupt"),
            ("ask()", "KeyboardInterrupt"),
            ("await run_async(job, samples=2, progress='log')", "CancelledError"),
        ):
            shown, errors, requests = interrupted_and_run_again(jupyter, mock, code)
            assert (errors, requests) == ([raised], ROWS), shown
            assert "The same call picks up where it stopped" in shown
        assert jupyter.cell("print(state() == before)") == ("True\n", [])
