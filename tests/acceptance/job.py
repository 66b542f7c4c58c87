"""A job in a folder of its own, run as a person would: `cd folder; batchchat run job.yaml`.

`run` runs the command in this process: a process of its own costs 1.4 s of CPU before its first request. `start` and
`terminal` start one, for tests of signals, kills, streams and terminals.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
from click.testing import CliRunner

from batchchat.cli import main

__all__ = ["PATIENCE_S", "Ended", "Job", "Running", "Terminal", "conversation", "rows", "until"]

PATIENCE_S = 240.0
"""How long a test waits for a process that takes seconds on a quiet machine, and one core of 25 on a busy one."""
_NOT_OURS = re.compile(r"(?i).*proxy|deepinfra_token|no_color|columns|ssl_cert_file|pythonwarnings|term")


def conversation(text: str) -> list[dict[str, Any]]:
    """Messages of one user's turn."""
    return [{"role": "user", "content": text}]


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Good input rows, r0000 and on."""
    return [{"id": f"r{n:04}", "messages": conversation(f"Question {n}")} for n in range(start, start + count)]


def until(happens: Callable[[], Any], what: str = "it", patience_s: float = PATIENCE_S) -> Any:
    """Wait until `happens()` is true; what it gave. To ask takes at most a fifth of a core from what is waited for."""
    deadline = time.monotonic() + patience_s
    while True:
        start = time.thread_time()
        if found := happens():
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {patience_s} s"
        time.sleep(max(0.005, 4 * (time.thread_time() - start)))


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def headline(self) -> str:
        """The summary's first line with its time taken out."""
        line = next(line for line in self.out.splitlines() if re.search(r" rows? answered", line))
        return re.sub(r" in [0-9.hms ]+(?= for|,|$)", "", line)

    @property
    def errors(self) -> list[str]:
        """The lines of stderr that begin with `error:` or `stopped:`."""
        return [line for line in self.err.splitlines() if line.startswith(("error:", "stopped:"))]


class Running:
    """A process going on; what it writes is gathered as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._parts: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._threads = [threading.Thread(target=self._gather, args=(name,), daemon=True) for name in self._parts]
        for thread in self._threads:
            thread.start()

    def _gather(self, name: str) -> None:
        stream = getattr(self.process, name)
        if stream is not None:
            while data := stream.read1(65536):
                self._parts[name] += data
            stream.close()

    @property
    def err(self) -> str:
        return self._parts["stderr"].decode("utf-8", "replace")

    def says(self, text: str) -> None:
        """Wait until stderr has `text`."""
        until(lambda: text in self.err or self.process.poll() is not None, f"stderr's {text!r}")
        assert text in self.err, self.err

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, patience_s: float = PATIENCE_S) -> Ended:
        """Wait for its end."""
        try:
            code = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        for thread in self._threads:
            thread.join()
        return Ended(code, self._parts["stdout"].decode(), self.err)


class Job:
    """A job file with its input and output in `folder`; keys are dotted names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "job.yaml"
        self.input = folder / "in.jsonl"
        self.output = folder / "out.parquet"
        self.run_folder = folder / "out.run"
        self.journal_file = self.run_folder / "journal-000001.jsonl"
        self._started: list[subprocess.Popen[bytes]] = []
        (folder / "tmp").mkdir()
        self.keys: dict[str, Any] = {
            "input.path": "in.jsonl",
            "input.id": "id",
            "model": "m",
            "endpoint.base_url": "mock",
            "output.path": "out.parquet",
            "concurrency": 16,
        }

    def write(self, input_rows: list[Any] | None = None, **keys: Any) -> None:
        """Write input (where given) and job file; `retry__max_wait=1` sets `retry.max_wait`, None takes a key out."""
        if input_rows is not None:
            lines = (line if isinstance(line, str) else json.dumps(line) for line in input_rows)
            self.input.write_text("".join(f"{line}\n" for line in lines))
        self.keys |= {name.replace("__", "."): value for name, value in keys.items()}
        tree: dict[str, Any] = {}
        for name, value in self.keys.items():
            if value is None:
                continue
            *sections, leaf = name.split(".")
            inner = tree
            for section in sections:
                inner = inner.setdefault(section, {})
            inner[leaf] = value
        self.file.write_text(json.dumps(tree, indent=1))  # JSON is YAML

    def environ(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """A plain environment: nothing of the machine's own that would change what is said."""
        own = {name: value for name, value in os.environ.items() if not _NOT_OURS.fullmatch(name)}
        return {**own, "TMPDIR": str(self.folder / "tmp"), "TERM": "xterm", **(env or {})}

    def command(self, *arguments: str) -> list[str]:
        """`batchchat run job.yaml` with `arguments`; the first may be another command."""
        head = [] if arguments and arguments[0] in main.commands else ["run", "job.yaml"]
        return [sys.executable, "-m", "batchchat", *head, *arguments]

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> Running:
        """Start a process in the folder."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environ(env), **{**given, **options}
        )
        self._started.append(process)
        return Running(process)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run the command in this process to its end, its streams no terminal."""
        environ = patch.dict(os.environ, self.environ(env), clear=True)
        with chdir(self.folder), environ, patch("tempfile.tempdir", None):
            result = CliRunner().invoke(main, self.command(*arguments)[3:], prog_name="batchchat")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return Ended(result.exit_code, result.stdout, result.stderr)

    def terminal(self, *arguments: str, columns: int = 80, env: Mapping[str, str] | None = None) -> Terminal:
        """Start it on a terminal of its own."""
        terminal = Terminal(self.command(*arguments), self.folder, self.environ(env), columns)
        self._started.append(terminal.process)
        return terminal

    def kill(self) -> None:
        """End every process that was started and still runs."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()

    def table(self, path: Path | None = None) -> list[dict[str, Any]]:
        """The rows of the output."""
        found: list[dict[str, Any]] = pq.read_table(path or self.output).to_pylist()
        return found

    def journal(self) -> list[dict[str, Any]]:
        """The journal's intact lines, checked as docs/architecture.md describes them, with none of our code."""
        found = []
        for path in sorted(self.run_folder.glob("journal-*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                body, mark, tail = line.rpartition(b',"crc":"')
                if mark and tail == b'%08x"}' % zlib.crc32(body):
                    found.append(json.loads(line))
        return found

    def acknowledged(self) -> int:
        """How many rows the journal holds by now."""
        return sum(path.read_bytes().count(b'{"kind":"row"') for path in self.run_folder.glob("journal-*.jsonl"))

    def state(self) -> dict[str, Any]:
        """What run.json says."""
        state: dict[str, Any] = json.loads((self.run_folder / "run.json").read_bytes())
        return state


class Terminal:
    """A process that has a terminal of `columns` for stdin, stdout and stderr."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str], columns: int) -> None:
        self._screen = bytearray()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def own_it() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=own_it,  # noqa: PLW1509 (an ioctl and nothing else)
        )
        os.close(theirs)
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def _gather(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # EIO: the last process has left the terminal
                return
            if not data:
                return
            self._screen += data

    @property
    def screen(self) -> str:
        """All that was written to it."""
        return self._screen.decode("utf-8", "replace")

    def shows(self, text: str) -> None:
        """Wait until `text` was written."""
        until(lambda: text in self.screen or self.process.poll() is not None, f"the screen's {text!r}")
        until(lambda: text in self.screen, f"the screen's {text!r}", 5)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def hang_up(self) -> None:
        """The terminal goes away, as when an ssh connection breaks."""
        os.close(self._ours)

    def end(self, patience_s: float = PATIENCE_S) -> tuple[int, str]:
        """Its exit code, and all it wrote, with plain line ends."""
        try:
            code = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._thread.join()
        return code, self.screen.replace("\r\n", "\n")
