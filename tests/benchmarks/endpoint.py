"""The endpoint of the benchmark: nginx with Lua where it is installed, else a server in Python.

It runs in a process of its own on the second core, on loopback, with its files in a folder of its own, and does as
little work for a request as it can: it must not be what is measured. `cpu_s` says how busy it was.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.process import SERVER_CORE, pin
from tests.benchmarks.rows import KINDS, VARIETY, replies, stream

HERE = Path(__file__).parent
MODULES = Path("/usr/lib/nginx/modules")
HOW_TO_INSTALL = "apt-get install nginx libnginx-mod-http-lua"
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 1m;
    client_max_body_size 64m;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    tcp_nodelay on;
    lua_package_path "{here}/?.lua;/usr/share/lua/5.1/?.lua;;";
    init_by_lua_block {{ require("nginx").load("{folder}", {{ {kinds} }}, {variety}) }}
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        location = /stats {{ content_by_lua_block {{ require("nginx").stats() }} }}
        location = /reset {{ content_by_lua_block {{ require("nginx").reset() }} }}
        location ~ ^/(?<kind>[a-z]+)/(?<ms>[0-9]+)/chat/completions$ {{
            content_by_lua_block {{ require("nginx").answer(ngx.var.kind, ngx.var.ms) }}
        }}
        location / {{ return 404; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running server: its process, its port, and what it is called in the results."""

    pid: int
    port: int
    name: str

    def base_url(self, kind: str, latency_ms: int = 0) -> str:
        """The base URL under which rows of `kind` are answered after `latency_ms`."""
        return f"http://127.0.0.1:{self.port}/{kind}/{latency_ms}"

    def cpu_s(self) -> float:
        """User and system time of the process so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def reset(self) -> None:
        """Count from nothing."""
        self._get("/reset")

    def requests(self) -> int:
        """How many completions were asked for since the last reset."""
        return int(json.loads(self._get("/stats"))["requests"])

    def first_at(self) -> float | None:
        """When the first of them came, as time.time() gives it; None as long as none did."""
        return float(json.loads(self._get("/stats"))["first"]) or None

    def most_waiting(self) -> int:
        """How many of them waited for their answer at once, at most; counted only where answers take time."""
        return int(json.loads(self._get("/stats"))["most"])

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            data: bytes = answer.read()
        return data


def has_nginx() -> bool:
    """Whether nginx and its Lua module are where Debian puts them."""
    return _nginx() is not None and (MODULES / "ngx_http_lua_module.so").exists()


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running(folder: Path, *, nginx: bool | None = None) -> Iterator[Endpoint]:
    """Start a server whose files are in `folder`, and end it; `nginx` says which, None is the one there is."""
    nginx = has_nginx() if nginx is None else nginx
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = _nginx_command(folder, port) if nginx else _plain_command(port)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        pin(process.pid, SERVER_CORE)
        endpoint = Endpoint(process.pid, port, "nginx with Lua" if nginx else "Python with uvloop")
        _wait_until_it_answers(endpoint, process)
        yield endpoint
    finally:
        process.kill()
        process.wait()


def _nginx_command(folder: Path, port: int) -> list[str]:
    for kind in KINDS:
        for number, reply in enumerate(replies(kind)):
            (folder / f"{kind}-{number}.head").write_bytes(reply.head)
            (folder / f"{kind}-{number}.tail").write_bytes(reply.tail)
    (folder / "stream").write_bytes(stream())
    config = CONFIG.format(
        modules=MODULES,
        folder=folder,
        here=HERE,
        port=port,
        variety=VARIETY,
        kinds=", ".join(f'"{kind}"' for kind in KINDS),
        files=16384,
        connections=8192,
    )
    (folder / "nginx.conf").write_text(config)
    return [str(_nginx()), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _plain_command(port: int) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.plain_server", str(port)]


def _wait_until_it_answers(endpoint: Endpoint, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            endpoint.requests()
            return
        time.sleep(0.02)
    sys.exit(f"{endpoint.name} does not answer on port {endpoint.port}")
