"""Azure's own emulator of its Blob storage for tests, a process on loopback: npm install -g azurite."""

from __future__ import annotations

import base64
import hmac
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import obstore
from obstore.store import AzureStore

__all__ = ["ACCOUNT_KEY", "Azurite", "azurite_server", "has_azurite"]

_ACCOUNT = "batchchattests"
ACCOUNT_KEY = base64.b64encode(b"a key of these tests").decode()
_VERSION = "2024-11-04"


@dataclass
class Azurite:
    """A server, with the same methods as the S3 server of the tests; a bucket is a container."""

    endpoint: str
    _numbers: count[int] = field(default_factory=count)

    @property
    def environ(self) -> dict[str, str]:
        """The variables that a program needs to reach it."""
        return self.environ_at(self.endpoint)

    def environ_at(self, endpoint: str) -> dict[str, str]:
        """The same, at a proxy before it."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": _ACCOUNT,
            "AccountKey": ACCOUNT_KEY,
            "BlobEndpoint": f"{endpoint}/{_ACCOUNT}",
        }
        return {"AZURE_STORAGE_CONNECTION_STRING": ";".join(f"{name}={value}" for name, value in parts.items())}

    def bucket(self) -> str:
        """The name of a new, empty container."""
        name = f"container-{next(self._numbers)}"
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        resource = f"/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
        signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n{resource}"
        mac = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), signed.encode(), "sha256")).decode()
        headers = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {_ACCOUNT}:{mac}",
            "Content-Length": "0",
        }
        url = f"{self.endpoint}/{_ACCOUNT}/{name}?restype=container"
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=20):
            return name

    def url(self, bucket: str, key: str) -> str:
        """The URL of an object."""
        return f"az://{bucket}/{key}"

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Make an object; its URL."""
        obstore.put(self._store(bucket), key, body)
        return self.url(bucket, key)

    def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        return bytes(obstore.get(self._store(bucket), key).bytes())

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects of the container."""
        return sorted(item["path"] for page in obstore.list(self._store(bucket)) for item in page)

    def _store(self, bucket: str) -> AzureStore:
        config: Any = {"account_name": _ACCOUNT, "account_key": ACCOUNT_KEY, "endpoint": f"{self.endpoint}/{_ACCOUNT}"}
        return AzureStore(bucket, config=config, client_options={"allow_http": True})


def has_azurite() -> bool:
    """Whether the emulator is installed."""
    return shutil.which("azurite-blob") is not None


@contextmanager
def azurite_server() -> Iterator[Azurite]:
    """A server that runs until the end of the block, with all that it has in memory."""
    command = ["azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]
    process = subprocess.Popen(
        [*command, "--silent", "--disableTelemetry", "--skipApiVersionCheck"],
        env=os.environ | {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{ACCOUNT_KEY}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        lines = (re.search(r"successfully listens on (http://\S+)", line) for line in process.stdout)
        listens = next(match for match in lines if match is not None)
        yield Azurite(listens[1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
