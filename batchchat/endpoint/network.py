"""What the environment says about the network: proxy and CA, read once; and the limits of this process on sockets.

aiohttp's `trust_env=True` would read the environment and netrc at each request, for 370-400 µs.
"""

from __future__ import annotations

import re
import resource
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from batchchat.errors import UsageError
from batchchat.secret import Secret

__all__ = ["Proxy", "keepalive_socket", "proxy_for", "raise_file_limit", "tls_context"]

_KEEPALIVE_IDLE_S = 30  # NAT and load balancers forget idle connections after 60-350 s
_KEEPALIVE_INTERVAL_S = 10
_USER_TIMEOUT_MS = 60_000  # a peer that acknowledges nothing for so long is gone
_ENDS_IN_PORT = re.compile(r"^([^:]*|\[.*\]):[0-9]+$")  # `::1` does not
_OTHER_FILES = 256  # descriptors that are not connections: input, journal, libraries


AddrInfo = tuple[socket.AddressFamily | int, socket.SocketKind | int, int, str, tuple[Any, ...]]
"""What `getaddrinfo` gives for one address."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's URL with its password, which `repr` hides; `host` can be shown."""

    url: Secret
    password: Secret | None
    host: str


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (or lower case) name for `url`."""
    target = urlsplit(url)
    variable = _set(environ, f"{target.scheme}_proxy") or _set(environ, "all_proxy")
    exempt = environ.get(_set(environ, "no_proxy") or "", "")
    port = target.port or (443 if target.scheme == "https" else 80)
    if variable is None or _exempt(target.hostname or "", port, exempt):
        return None
    found = environ[variable].strip()
    if "://" not in found:
        found = f"http://{found}"
    try:
        proxy = urlsplit(found)
        usable = proxy.scheme in {"http", "https"} and bool(proxy.hostname) and proxy.port != 0
    except ValueError:  # what reading `port` raises
        usable = False
    if not usable:
        raise UsageError(
            f"{variable} names the proxy for {target.hostname}, and is no http:// or https:// address"
            f" (the value is not shown). Mend it, or name the host in NO_PROXY."
        )
    password = Secret(unquote(proxy.password)) if proxy.password else None
    return Proxy(Secret(found), password, proxy.hostname or "")


def _set(environ: Mapping[str, str], name: str) -> str | None:
    """The variable that is set, of `name` and its upper case."""
    return next((variable for variable in (name, name.upper()) if environ.get(variable, "").strip()), None)


def _exempt(host: str, port: int, no_proxy: str) -> bool:
    """Curl's rule: a name stands for itself and what ends in it; `*` for all; `host:port`; `10.0.0.0/8`."""
    for entry in (part.lower() for part in no_proxy.replace(",", " ").split()):
        name, _, wanted = entry.rpartition(":") if _ENDS_IN_PORT.search(entry) else (entry, "", str(port))
        name = name.removeprefix("*").strip(".[]")
        if entry == "*" or (wanted == str(port) and name and (f".{host}".endswith(f".{name}") or _inside(host, name))):
            return True
    return False


def _inside(host: str, network: str) -> bool:
    try:
        return "/" in network and ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The system's certificates, or those of `SSL_CERT_FILE`."""
    path = environ.get("SSL_CERT_FILE") or None
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(
            f"SSL_CERT_FILE is {path}, which can't be read as certificates: {error.strerror or error}."
        ) from error


def keepalive_socket(address: AddrInfo) -> socket.socket:
    """A TCP socket that notices a dead peer: for aiohttp's `socket_factory`."""
    family, kind, protocol = address[0], address[1], address[2]
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def raise_file_limit(connections: int) -> None:
    """Let this process open `connections` sockets, or say what to do."""
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        if raised < wanted:
            raise UsageError(
                f"{connections:,} requests in flight need {wanted:,} open files, and this machine allows {hard:,}."
                f" Raise it (`ulimit -Hn {wanted}`) or set `concurrency` to {max(1, hard - _OTHER_FILES):,} or less."
            )
