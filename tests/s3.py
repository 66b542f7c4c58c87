"""A real S3 server for tests: moto's, a process of its own on loopback that ends with the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

__all__ = ["KEY_ID", "S3", "SECRET_KEY", "s3_server"]

KEY_ID = "AKIAIOSFODNN7TESTING"
SECRET_KEY = "wJalrXUtnFEMIK7MDENGbPxRfiCYTESTINGKEY"
_SERVE = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@dataclass
class S3:
    """A server: its URL, a client of Amazon's own library, and the variables that a program needs to reach it."""

    endpoint: str
    client: Any
    environ: dict[str, str]
    _numbers: count[int] = field(default_factory=count)

    def environ_at(self, endpoint: str) -> dict[str, str]:
        """The variables with which a program reaches it at a proxy before it."""
        return self.environ | {"AWS_ENDPOINT_URL": endpoint}

    def url(self, bucket: str, key: str) -> str:
        """The URL of an object."""
        return f"s3://{bucket}/{key}"

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Make an object; its URL."""
        self.client.put_object(Bucket=bucket, Key=key, Body=body)
        return self.url(bucket, key)

    def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects of the bucket."""
        return [item["Key"] for item in self.client.list_objects_v2(Bucket=bucket).get("Contents", ())]

    def uploads(self, bucket: str) -> list[str]:
        """The keys of multipart uploads that were neither completed nor aborted."""
        return [item["Key"] for item in self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())]


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server that runs until the end of the block. boto3 and moto are installed."""
    import boto3

    process = subprocess.Popen([sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
        environ = {
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        session = boto3.session.Session(KEY_ID, SECRET_KEY, region_name="us-east-1")
        yield S3(endpoint, session.client("s3", endpoint_url=endpoint), environ)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
