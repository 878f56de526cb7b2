"""The watched container: pinned ranged reads of its blobs, and their metadata."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from azure.core import MatchConditions
from azure.storage.blob import BlobClient, BlobProperties, ContainerClient

from shared.errors import BlobDeleted, InvalidBlobName, StorageUnavailable
from shared.storage.storage_errors import StorageNotFound, storage_errors


@dataclass(frozen=True, slots=True)
class SourceBlob:
    """A blob as it was seen once.

    ``created`` is an ISO 8601 time, ``md5`` hex of the whole content when the writer left one.
    """

    name: str
    etag: str
    size: int
    content_type: str
    created: str
    md5: str
    kind: str
    archived: bool
    metadata: Mapping[str, str]


_CHUNK = 1_048_576


class SourceContainer:
    """The blobs of one container. Every read is pinned to an ETag."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container

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
        if not {".", ".."}.isdisjoint(re.split(r"[/\\]", name)):
            raise InvalidBlobName
        return self._container.get_blob_client(name)

    def can_be_read(self, seconds: float) -> bool:
        """Whether there is such a container; listing one of its names needs the right to read.

        One try, within about so many seconds. Raises :class:`StorageUnavailable`.
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

    def look(self, name: str) -> SourceBlob:
        """The blob as it is now.

        Raises :class:`BlobDeleted`, :class:`InvalidBlobName` or :class:`StorageUnavailable`.
        """
        with _blob_errors(name):
            return _source_blob(name, self._blob(name).get_blob_properties())

    def md5_of(self, blob: SourceBlob) -> str:
        """MD5 of the bytes themselves, in hex: the blob's property is its writer's word.

        Raises what :meth:`read` does.
        """
        digest = hashlib.md5(usedforsecurity=False)
        for start in range(0, blob.size, _CHUNK):
            length = min(_CHUNK, blob.size - start)
            digest.update(self.read(blob.name, blob.etag, start, length))
        return digest.hexdigest()

    def read(self, name: str, etag: str, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start`` on, of the content with this ETag.

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
                # A blob with Content-Encoding is sent as it is stored.
                decompress=False,
            )
            # The one piece that a slice is; readall() would copy it.
            content = b"".join(download.chunks())
        if len(content) != length:
            raise StorageUnavailable(
                f"Azure Storage gave {len(content)} of {length} bytes of the blob {name}."
            )
        return content

    def write_metadata(self, name: str, etag: str, metadata: Mapping[str, str]) -> None:
        """Replace the blob's metadata, if its ETag is still this one.

        Not retried by the SDK: a repeated write would meet its own new ETag.
        Raises :class:`BlobChanged`, :class:`BlobDeleted` or :class:`StorageUnavailable`.
        """
        with _blob_errors(name):
            self._blob(name).set_blob_metadata(
                dict(metadata),
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
                retry_total=0,
            )


@contextmanager
def _blob_errors(name: str) -> Iterator[None]:
    """Translate the SDK's exceptions about a blob that a transfer is about."""
    try:
        with storage_errors(name):
            yield
    except StorageNotFound:
        raise BlobDeleted(name) from None


def _source_blob(name: str, properties: BlobProperties) -> SourceBlob:
    settings = properties.content_settings
    return SourceBlob(
        name=name,
        etag=properties.etag,
        size=properties.size,
        content_type=settings.content_type or "application/octet-stream",
        created=properties.creation_time.isoformat(),
        md5=bytes(settings.content_md5 or b"").hex(),
        kind=str(getattr(properties.blob_type, "value", properties.blob_type)),
        archived=str(properties.blob_tier or "").lower() == "archive",
        metadata=dict(properties.metadata or {}),
    )
