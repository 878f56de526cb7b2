"""The watched container: reads of its blobs, pinned to an ETag, and their metadata."""

import hashlib
import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core import MatchConditions
from azure.core.pipeline import PipelineResponse
from azure.storage.blob import BlobClient, BlobProperties, ContainerClient

from shared.errors import BlobDeleted, Permanent, StorageUnavailable
from shared.path_segments import has_dot_segments
from shared.storage.source_blob import SourceBlob
from shared.storage.storage_errors import (
    StorageDenied,
    StorageNotFound,
    storage_errors,
)

_LOG = logging.getLogger(__name__)


class InvalidBlobName(Permanent, code="UnsupportedBlob"):
    """Raised for a name that an HTTP library would normalise to a path outside the container."""

    def __init__(self) -> None:
        super().__init__("The blob's name holds '.' or '..' as a folder. Rename it.")


class ContainerTaken(StorageUnavailable):
    """Raised when another deployment transfers the files of this container."""

    def __init__(self, container: str) -> None:
        super().__init__(
            f"The container {container} belongs to another deployment of this app, which holds a "
            "lease on it; both would attach every file. If that deployment is gone, break the "
            "lease: az storage container lease break."
        )


_CHUNK = 1_048_576


class SourceContainer:
    """The blobs of one container.

    ``owner`` names the ledger of the app that transfers them. Two apps without a common ledger
    would attach each file twice, so one of them leases the container.
    """

    def __init__(self, container: ContainerClient, owner: str = "") -> None:
        self._container = container
        self._owner = owner
        self._is_claimed = not owner

    @property
    def account(self) -> str:
        """Name of the storage account."""
        return str(self._container.account_name or "")

    @property
    def container(self) -> str:
        """Name of the container."""
        return str(self._container.container_name)

    def _blob(self, name: str) -> BlobClient:
        """The client of a blob.

        Raises :class:`InvalidBlobName`.
        """
        if has_dot_segments(name):
            raise InvalidBlobName
        return self._container.get_blob_client(name)

    def can_be_read(self, seconds: float) -> bool:
        """Whether the container exists. Listing one name shows that the identity may read it.

        One try, within about this number of seconds. Raises :class:`StorageUnavailable`.
        """
        try:
            with storage_errors("(any)"):
                names = self._container.list_blob_names(
                    results_per_page=1,
                    retry_total=0,
                    connection_timeout=seconds,
                    read_timeout=seconds,
                )
                next(names, None)
        except StorageNotFound:
            return False
        return True

    def claim(self) -> None:
        """Lease the container for the owner, if this has not been done.

        The lease has no end, so that it needs no renewal; it prevents nothing but the deletion of
        the container. Raises :class:`ContainerTaken` and :class:`StorageUnavailable`.
        """
        if self._is_claimed:
            return
        lease_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, self._owner))
        try:
            with storage_errors("(any)"):
                self._container.acquire_lease(lease_duration=-1, lease_id=lease_id)
        except StorageDenied:
            # A role of the operator's own may lack it.
            _LOG.warning(
                "The app may not lease the container %s, so it does not know whether another "
                "deployment transfers the same files. Use the role Storage Blob Data Owner.",
                self.container,
            )
        except StorageUnavailable as error:
            if error.storage_code == "LeaseAlreadyPresent":
                raise ContainerTaken(self.container) from None
            raise
        self._is_claimed = True

    def look(self, name: str) -> SourceBlob:
        """The blob as it is now.

        Raises :class:`BlobDeleted`, :class:`InvalidBlobName` or :class:`StorageUnavailable`.
        """
        kinds: list[str] = []

        def note_kind(response: PipelineResponse[Any, Any]) -> None:
            # The SDK's properties do not have it.
            kinds.append(str(response.http_response.headers.get("x-ms-resource-type", "")))

        with _blob_errors(name):
            properties = self._blob(name).get_blob_properties(raw_response_hook=note_kind)
        return self._source_blob(name, properties, is_directory="directory" in kinds)

    def _source_blob(
        self, name: str, properties: BlobProperties, *, is_directory: bool
    ) -> SourceBlob:
        settings = properties.content_settings
        return SourceBlob(
            account=self.account,
            container=self.container,
            name=name,
            etag=properties.etag,
            size=_size(properties),
            content_type=settings.content_type or "application/octet-stream",
            created=properties.creation_time.isoformat(),
            md5=bytes(settings.content_md5 or b"").hex(),
            kind=str(getattr(properties.blob_type, "value", properties.blob_type)),
            archived=str(properties.blob_tier or "").lower() == "archive",
            metadata=dict(properties.metadata or {}),
            copy_status=str(properties.copy.status or "").lower(),
            is_directory=is_directory,
            has_endless_lease=str(properties.lease.duration or "").lower() == "infinite",
        )

    def md5_of(self, blob: SourceBlob) -> str:
        """MD5 of the content itself, in hex: the blob's MD5 property is not verified.

        Raises what :meth:`read` does.
        """
        digest = hashlib.md5(usedforsecurity=False)
        for start in range(0, blob.size, _CHUNK):
            length = min(_CHUNK, blob.size - start)
            digest.update(self.read(blob.name, blob.etag, start, length))
        return digest.hexdigest()

    def read(self, name: str, etag: str, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start``, if the blob's ETag is still this one.

        Raises :class:`BlobChanged`, :class:`BlobDeleted` or :class:`StorageUnavailable`.
        """
        if length == 0:
            return b""
        with _blob_errors(name):
            download = self._blob(name).download_blob(
                start,
                length,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                # The file is the bytes as stored, even with a Content-Encoding.
                decompress=False,
            )
            # A slice arrives in one piece, which readall() would copy.
            content = b"".join(download.chunks())
        if len(content) != length:
            raise StorageUnavailable(
                f"Azure Storage returned {len(content)} of {length} bytes of the blob {name}."
            )
        return content

    def write_metadata(self, name: str, etag: str, metadata: Mapping[str, str]) -> None:
        """Replace the blob's metadata, if its ETag is still this one.

        Without the SDK's retries, which would fail on the new ETag of their first try.
        Raises :class:`BlobChanged`, :class:`BlobDeleted` or :class:`StorageUnavailable`.
        """
        with _blob_errors(name):
            self._blob(name).set_blob_metadata(
                dict(metadata),
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                retry_total=0,
            )


def _size(properties: BlobProperties) -> int:
    """The size; for a copy that is not complete, which has no content, that of its source.

    So a transfer's id is the same before and after the end of the copy.
    """
    copy = properties.copy
    _, _, total = str(copy.progress or "").rpartition("/")
    if str(copy.status or "success").lower() != "success" and total.isdecimal():
        return int(total)
    return int(properties.size)


@contextmanager
def _blob_errors(name: str) -> Iterator[None]:
    """Translate the SDK's exceptions; a missing blob is :class:`BlobDeleted`."""
    try:
        with storage_errors(name):
            yield
    except StorageNotFound:
        raise BlobDeleted(name) from None
