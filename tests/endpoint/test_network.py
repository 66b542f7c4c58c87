"""Proxy, CA and file limit: what the environment says, and what is told where it can't be followed."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batchchat.endpoint.network import keepalive_socket, own_file_limit, proxy_for, raise_file_limit, tls_context
from batchchat.errors import UsageError

URL = "https://api.deepinfra.com/v1/openai"


def named(environ: dict[str, str], url: str = URL) -> str | None:
    proxy = proxy_for(url, environ)
    return None if proxy is None else proxy.url.reveal()


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, "http://up:1"),
        ({"HTTP_PROXY": "http://p:3128"}, None),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": " p:3128 "}, "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost,example.com"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.deepinfra.com"}, None),
    ],
)
def test_the_proxy_is_the_one_the_environment_names(environ: dict[str, str], proxy: str | None) -> None:
    """The scheme's variable before ALL_PROXY, lower case before upper, empty is unset; NO_PROXY exempts."""
    assert named(environ) == proxy


@pytest.mark.parametrize(
    ("url", "no_proxy", "exempt"),
    [
        ("https://api.deepinfra.com/v1", "deepinfra.com", True),
        ("https://api.deepinfra.com/v1", ".deepinfra.com", True),
        ("https://api.deepinfra.com/v1", "*.deepinfra.com", True),
        ("https://api.deepinfra.com/v1", "API.DeepInfra.com", True),
        ("https://api.deepinfra.com/v1", "infra.com", False),
        ("https://api.deepinfra.com/v1", "*", True),
        ("https://api.deepinfra.com/v1", " a.com , api.deepinfra.com ", True),
        ("https://api.deepinfra.com/v1", "a.com api.deepinfra.com", True),
        ("https://api.deepinfra.com/v1", "api.deepinfra.com:443", True),
        ("https://api.deepinfra.com/v1", "api.deepinfra.com:80", False),
        ("http://vllm/v1", "vllm:80", True),
        ("http://vllm:8000/v1", "vllm:8000", True),
        ("http://vllm:8000/v1", "vllm", True),
        ("http://[::1]:8000/v1", "::1", True),
        ("http://[::1]:8000/v1", "[::1]:8000", True),
        ("http://[::1]:8000/v1", "[::1]:80", False),
        ("http://10.1.2.3/v1", "10.0.0.0/8", True),
        ("http://11.1.2.3/v1", "10.0.0.0/8", False),
        ("http://vllm/v1", "10.0.0.0/8,/,x/y", False),
        ("http://vllm/v1", "", False),
        ("http://vllm/v1", ",,", False),
    ],
)
def test_no_proxy_exempts_as_curl_does(url: str, no_proxy: str, exempt: bool) -> None:
    """A name and what ends in it, a port, an address range; blanks and capitals make no difference."""
    environ = {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    assert (named(environ, url) is None) is exempt


@pytest.mark.parametrize(
    "value", ["socks5://me:s3cret@p:1", "http://", "http://p:port", "http://[::1", "ftp://p", "http://p:0"]
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_is_none_is_refused_unseen(variable: str, value: str) -> None:
    """The variable is named, its value, which may hold a password, is not."""
    with pytest.raises(UsageError) as refused:
        proxy_for(URL, {variable: value})
    assert str(refused.value) == (
        f"{variable} names the proxy for api.deepinfra.com and is not an http:// or https:// address"
        " (the value is not shown). Correct it, or add the host to NO_PROXY."
    )


def test_a_password_is_known_as_it_is_typed_and_as_it_is_sent() -> None:
    """The URL is a secret as a whole, the password is its own, unquoted; only the host is shown."""
    proxy = proxy_for(URL, {"HTTPS_PROXY": "http://me:p%40ss@proxy.lan:3128"})
    assert proxy is not None
    assert proxy.password is not None
    assert (proxy.password.reveal(), proxy.host) == ("p@ss", "proxy.lan")
    assert repr(proxy) == "Proxy(url=***, password=***, host='proxy.lan')"


def test_a_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """A missing file and one without certificates are told by their path."""
    missing = tmp_path / "missing.pem"
    with pytest.raises(UsageError) as refused:
        tls_context({"SSL_CERT_FILE": str(missing)})
    assert str(refused.value) == (
        f"SSL_CERT_FILE is {missing}, which can't be read as certificates: No such file or directory."
    )
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(UsageError, match=r"^SSL_CERT_FILE is .*empty\.pem, which can't be read as certificates: "):
        tls_context({"SSL_CERT_FILE": str(empty)})
    assert tls_context({"SSL_CERT_FILE": ""}).verify_mode.name == "CERT_REQUIRED"


def test_a_socket_notices_a_dead_peer() -> None:
    """Keepalive probes start after 30 s of silence, and unacknowledged data ends a connection after a minute."""
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
    with keepalive_socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def limited(soft: int, hard: int, connections: int) -> str:
    program = (
        "import resource, sys\n"
        "from batchchat.endpoint.network import raise_file_limit\n"
        "try:\n"
        f"    raise_file_limit({connections})\n"
        "except Exception as error:\n"
        "    print(f'{type(error).__name__}: {error}')\n"
        "else:\n"
        "    print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    return ran.stdout.strip()


def test_the_file_limit_is_raised_or_the_way_out_told() -> None:
    """The soft limit goes up as far as is needed and the hard one allows; beyond it, the command is named."""
    assert limited(1024, 4096, 200) == "(1024, 4096)"
    assert limited(1024, 4096, 2000) == "(2256, 4096)"
    assert limited(1024, 1024, 2000) == (
        "UsageError: 2,000 requests in flight need 2,256 open files, and this machine allows 1,024."
        " Raise it (`ulimit -Hn 2256`) or set `concurrency` to 768 or less."
    )


def test_a_limit_that_is_high_enough_is_left_alone() -> None:
    """Nothing is lowered."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_file_limit(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_runs_that_overlap_share_the_file_limit() -> None:
    """Each has its connections beside those of the others; the last gives back what there was before the first."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = before[1]
    if hard != resource.RLIM_INFINITY and hard < 8192:
        pytest.skip("the machine allows few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        first, second = own_file_limit(), own_file_limit()
        first.__enter__()(2000)
        second.__enter__()(2000)
        first.__exit__(None, None, None)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 4256
        second.__exit__(None, None, None)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (1024, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
