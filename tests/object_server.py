"""What tests ask of a server of objects, whichever it is: S3's (moto) or Azure's (Azurite)."""

from __future__ import annotations

from typing import Protocol

__all__ = ["ObjectServer"]


class ObjectServer(Protocol):
    """A real server on loopback. Azure calls a bucket a container."""

    @property
    def endpoint(self) -> str:
        """Its URL."""

    @property
    def environ(self) -> dict[str, str]:
        """The variables that a program needs to reach it."""

    def environ_at(self, endpoint: str) -> dict[str, str]:
        """The variables with which a program reaches it at a proxy before it."""

    def bucket(self) -> str:
        """The name of a new, empty bucket."""

    def url(self, bucket: str, key: str) -> str:
        """The URL of an object."""

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Make an object; its URL."""

    def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects of the bucket."""
