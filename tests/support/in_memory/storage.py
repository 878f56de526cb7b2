"""A container in memory, for tests that need thousands of blobs.

It behaves as Azure and Azurite do: Set Blob Metadata changes only the ETag; an overwrite changes
the creation time, which has whole seconds, and clears the metadata; a call whose condition is not
met is refused; a copy has the metadata of the original.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import ContainerClient

from tests.support.engine.stalled_delivery import operation


@dataclass(frozen=True)
class MemoryBlob:
    """A blob as it is at one moment."""

    content: bytes
    etag: str
    created: datetime
    md5: bytes | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class MemoryContainer:
    """The calls of ``ContainerClient`` that the app makes, on a dictionary."""

    def __init__(self, name: str, clock: Callable[[], datetime]) -> None:
        self.account_name = "memory"
        self.container_name = name
        self._clock = clock
        self._blobs: dict[str, MemoryBlob] = {}
        self._lock = threading.RLock()
        self._etags = count(1)

    def as_client(self) -> ContainerClient:
        """This container, typed as the SDK's client."""
        return cast("ContainerClient", self)

    # --- calls of the tests ---

    def put(
        self, name: str, content: bytes, md5: bytes | None, metadata: Mapping[str, str]
    ) -> None:
        """Upload a blob, or overwrite it."""
        with self._lock:
            created = self._clock().replace(microsecond=0)
            self._blobs[name] = MemoryBlob(content, self._etag(), created, md5, dict(metadata))

    def fill(self, name: str, content: bytes) -> None:
        """Write content as a file system does: only ETag and content change."""
        with self._lock:
            self._blobs[name] = replace(self._find(name), etag=self._etag(), content=content)

    def annotate(self, name: str, **metadata: str) -> None:
        """Write metadata as another client does; the keys that are there stay."""
        with self._lock:
            blob = self._find(name)
            merged = dict(blob.metadata) | metadata
            self._blobs[name] = replace(blob, etag=self._etag(), metadata=merged)

    def set_md5(self, name: str, md5: bytes | None) -> None:
        """Write the properties as another client does: the MD5 is replaced, or cleared."""
        with self._lock:
            self._blobs[name] = replace(self._find(name), etag=self._etag(), md5=md5)

    def copy(self, name: str, to: str) -> None:
        """Copy a blob with all its metadata."""
        with self._lock:
            blob = self._find(name)
            self.put(to, blob.content, blob.md5, blob.metadata)

    def blob(self, name: str) -> MemoryBlob:
        """The blob as it is now."""
        with self._lock:
            return self._find(name)

    def names(self) -> list[str]:
        """The names of all blobs."""
        with self._lock:
            return list(self._blobs)

    # --- calls of the app ---

    def create_container(self) -> None:
        """The container always exists."""

    def get_blob_client(self, name: str) -> "MemoryBlobClient":
        """A client of one blob."""
        return MemoryBlobClient(self, name)

    @operation
    def upload_blob(
        self,
        name: str,
        text: str,
        *,
        overwrite: bool = False,
        etag: str | None = None,
        match_condition: MatchConditions | None = None,
        **_: object,
    ) -> None:
        """Store a text, if the condition is met; without one, ``overwrite`` is the condition."""
        if match_condition is None and not overwrite:
            match_condition = MatchConditions.IfMissing
        with self._lock:
            if match_condition is MatchConditions.IfMissing and name in self._blobs:
                raise ResourceExistsError("The blob already exists.")
            if match_condition is MatchConditions.IfNotModified:
                if name not in self._blobs:
                    raise _condition_not_met()
                self.pinned(name, etag or "")
            self.put(name, text.encode(), None, {})

    def download_blob(self, name: str) -> "MemoryDownload":
        """The whole content."""
        blob = self.blob(name)
        return MemoryDownload(blob.content, SimpleNamespace(etag=blob.etag))

    @operation
    def delete_blob(self, name: str) -> None:
        """Delete a blob."""
        with self._lock:
            self._find(name)
            del self._blobs[name]

    @operation
    def set_metadata(self, name: str, metadata: Mapping[str, str], etag: str) -> None:
        """Replace the metadata, if the ETag is this one."""
        with self._lock:
            blob = self.pinned(name, etag)
            self._blobs[name] = replace(blob, etag=self._etag(), metadata=dict(metadata))

    def pinned(self, name: str, etag: str) -> MemoryBlob:
        """The blob, if its ETag is this one."""
        blob = self.blob(name)
        if blob.etag != etag:
            raise _condition_not_met()
        return blob

    def _find(self, name: str) -> MemoryBlob:
        if name not in self._blobs:
            raise ResourceNotFoundError("The specified blob does not exist.")
        return self._blobs[name]

    def _etag(self) -> str:
        return f'"0x{next(self._etags):X}"'


def _condition_not_met() -> ResourceModifiedError:
    error = ResourceModifiedError("The condition is not met.")
    error.status_code = 412
    error.error_code = "ConditionNotMet"  # type: ignore[attr-defined]
    return error


@dataclass(frozen=True)
class MemoryDownload:
    """A download that is complete."""

    content: bytes
    properties: SimpleNamespace

    def readall(self) -> bytes:
        """All of it."""
        return self.content

    def chunks(self) -> Iterator[bytes]:
        """All of it, in one chunk."""
        return iter([self.content])


@dataclass(frozen=True)
class MemoryBlobClient:
    """The calls of ``BlobClient`` that the app makes."""

    container: MemoryContainer
    name: str

    @operation
    def get_blob_properties(self, **_: object) -> Any:
        """What the app reads of ``BlobProperties``."""
        blob = self.container.blob(self.name)
        settings = SimpleNamespace(content_type="application/pdf", content_md5=blob.md5)
        return SimpleNamespace(
            etag=blob.etag,
            size=len(blob.content),
            content_settings=settings,
            creation_time=blob.created,
            blob_type="BlockBlob",
            blob_tier="Hot",
            copy=SimpleNamespace(status=None, progress=None),
            lease=SimpleNamespace(duration=None),
            metadata=dict(blob.metadata),
        )

    def download_blob(self, offset: int, length: int, *, etag: str, **_: object) -> MemoryDownload:
        """A slice, if the ETag is this one."""
        blob = self.container.pinned(self.name, etag)
        part = blob.content[offset : offset + length]
        return MemoryDownload(part, SimpleNamespace(etag=blob.etag))

    def set_blob_metadata(self, metadata: Mapping[str, str], *, etag: str, **_: object) -> None:
        """Replace the metadata, if the ETag is this one."""
        self.container.set_metadata(self.name, metadata, etag)
